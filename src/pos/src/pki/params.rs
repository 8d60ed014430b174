//! What all certificates have in common.

use std::time::Duration;

use rand_core::{OsRng, RngCore};
use rcgen::{CertificateParams, DistinguishedName, DnType, SerialNumber};

use super::error::PkiError;
use crate::clock::now_ms;

/// Seconds.
pub(super) const DAY: u64 = 24 * 3600;
/// What browsers and others take as the longest sensible life of a leaf.
pub(super) const LEAF_DAYS: u64 = 398;
/// For clocks that run behind.
const BACKDATE: u64 = DAY;

/// For `common` of the unit `unit`, under these names, for so many days from now on.
pub(super) fn params(names: &[String], common: &str, unit: &str, days: u64) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common);
    subject.push(DnType::OrganizationalUnitName, unit);
    subject.push(DnType::OrganizationName, "kiln");
    params.distinguished_name = subject;
    let now = (now_ms().max(0) / 1000) as u64;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(BACKDATE));
    params.not_after = epoch + Duration::from_secs(now + days * DAY);
    let mut serial = [0; 16];
    OsRng.try_fill_bytes(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    // RFC 5280, 4.1.2.2: positive; and no leading zero.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}
