//! The server's own certificate.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use kiln_base::bundle::write_aside;
use rcgen::{ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;

use super::error::PkiError;
use super::files::{damaged, read};
use super::params::{DAY, LEAF_DAYS, params};
use crate::clock::now_ms;

/// Reads the certificate, or makes it where it does not serve: other names, another key, or a third of its life left.
pub(super) fn server(
    path: &Path,
    key: &KeyPair,
    issuer: &Issuer<'_, KeyPair>,
    names: &[String],
) -> Result<String, PkiError> {
    let mut all: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    all.extend(names.iter().cloned());
    let all: Vec<String> = all.into_iter().collect();
    for name in &all {
        let printable = !name.is_empty() && name.len() <= 253 && name.bytes().all(|b| b.is_ascii_graphic());
        let valid = rustls_pki_types::ServerName::try_from(name.as_str());
        if let (true, Ok(_)) = (printable, valid) {
            continue;
        }
        let name = name.chars().take(80).collect();
        return Err(PkiError::Name { name, reason: "it is neither a host name nor an address".into() });
    }
    if let Some(pem) = read(path)?
        && server_serves(&pem, key, &all).map_err(|reason| damaged(path, reason))?
    {
        return Ok(pem);
    }
    let mut params = params(&all, "kiln POS", "server", LEAF_DAYS)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let pem = params.signed_by(key, issuer)?.pem();
    write_aside(path, pem.as_bytes(), 0o644)?;
    Ok(pem)
}

/// Whether a server certificate has that key, all those names, and a third of its life left.
fn server_serves(pem: &str, key: &KeyPair, names: &[String]) -> Result<bool, String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| e.to_string())?;
    let (_, cert) = x509_parser::parse_x509_certificate(&der).map_err(|e| e.to_string())?;
    let left = cert.validity().not_after.timestamp() - now_ms() / 1000;
    let found: BTreeSet<String> = match cert.subject_alternative_name().map_err(|e| e.to_string())? {
        Some(san) => san.value.general_names.iter().filter_map(san_text).collect(),
        None => BTreeSet::new(),
    };
    let names: BTreeSet<String> = names.iter().cloned().collect();
    let enough = left > (LEAF_DAYS * DAY / 3) as i64;
    Ok(enough && found == names && cert.public_key().raw == key.subject_public_key_info())
}

fn san_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(IpAddr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| IpAddr::from(v6).to_string()),
        },
        _ => None,
    }
}
