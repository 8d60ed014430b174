//! Reading files within a bound.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::error::{AgentError, Result};

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// If it cannot be read or is longer.
pub fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>> {
    let fail = |source| AgentError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(AgentError::Format { path: path.to_owned(), reason: format!("it is longer than {most} bytes") });
    }
    Ok(bytes)
}

/// As [`read_bounded`]; an absent file is `None`.
///
/// # Errors
/// If it cannot be read or is longer.
pub fn read_optional(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    match read_bounded(path, most) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(AgentError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
