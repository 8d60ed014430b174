//! The files of keys and certificates.

use std::fs;
use std::io;
use std::path::Path;

use kiln_base::bundle::write_aside;
use rcgen::KeyPair;

use super::error::PkiError;

pub(super) fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PkiError::File { path: path.to_owned(), source }),
    }
}

pub(super) fn keep(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    Ok(write_aside(path, bytes, 0o644)?)
}

pub(super) fn damaged(path: &Path, reason: impl std::fmt::Display) -> PkiError {
    PkiError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

pub(super) fn key_pair(path: &Path) -> Result<KeyPair, PkiError> {
    if let Some(pem) = read(path)? {
        return KeyPair::from_pem(&pem).map_err(|e| damaged(path, e));
    }
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    write_aside(path, key.serialize_pem().as_bytes(), 0o600)?;
    Ok(key)
}
