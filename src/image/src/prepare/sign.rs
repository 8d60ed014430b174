//! Tables and the signature over the statement about them.

use std::path::{Path, PathBuf};

use kiln_base::abi::tables::MAX_FILE;
use kiln_base::abi::{Tables, TablesError};
use kiln_base::bundle::{Envelope, PolicyStatement, SigningKey};

use super::file::{FileError, read_bounded};

/// Tables that cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// They cannot be read.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// No version has this serial.
    #[error("the tables have serial 0; compile them with --serial 1 or higher")]
    NoSerial,
    /// The file's name is not one of a policy.
    #[error("{} gives no policy name; say one with --name", .0.display())]
    NoName(PathBuf),
}

/// The statement about a tables file, and its signature.
///
/// # Errors
/// [`SignError`].
pub fn sign(bytes: &[u8], key: &SigningKey, name: String) -> Result<(PolicyStatement, Envelope), SignError> {
    let metadata = Tables::read(bytes)?.metadata;
    if metadata.serial == 0 {
        return Err(SignError::NoSerial);
    }
    let statement =
        PolicyStatement { policy: metadata.policy, tables: Tables::digest(bytes), serial: metadata.serial, name };
    let envelope = statement.sign(key);
    Ok((statement, envelope))
}

/// Reads a tables file, no more of it than one can have.
///
/// # Errors
/// Where it cannot be read, or has more.
pub fn read_tables(path: &Path) -> Result<Vec<u8>, FileError> {
    read_bounded(path, MAX_FILE as u64)
}

/// `nginx` of `out/nginx.v2.tables`.
///
/// # Errors
/// Where the file's name begins with a dot, or is not text.
pub fn name_of(path: &Path) -> Result<String, SignError> {
    let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.split('.').next()).filter(|n| !n.is_empty());
    name.map(str::to_owned).ok_or_else(|| SignError::NoName(path.to_owned()))
}

/// Where a tables file's signature is looked for.
pub fn signature_path(tables: &Path) -> PathBuf {
    tables.with_extension("dsse.json")
}
