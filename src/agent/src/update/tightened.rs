//! What is recorded of a tightened policy, and by which number the kernel programs name its generation.

use kiln_base::model::Digest;
use serde::{Deserialize, Serialize};

/// A policy that the build did not sign, in the place of the build's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tightened {
    /// Its number, of those of the build's serial.
    pub number: u64,
    /// Digest of the tables file of the build's policy.
    pub base: Digest,
    /// When it ends, in seconds of the wall clock.
    pub expires: u64,
    /// When it ends at the latest, wherever the clock is set; nanoseconds after boot.
    pub deadline_ns: u64,
}

/// One number of a serial and of a tightening of it; 0: none. `bundle::MOST_SERIAL` and `MOST_TIGHTENINGS` let it be a number
/// of JSON.
pub fn number(serial: u64, tightening: u64) -> u64 {
    tightening.checked_shl(32).unwrap_or_default().saturating_add(serial)
}
