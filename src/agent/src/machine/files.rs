//! Reading files within a bound.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{AgentError, FileFault, Result};
use crate::machine::lines::notice;

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// If it cannot be read or is longer.
pub fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>> {
    let fail = |source| AgentError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(AgentError::Format { path: path.to_owned(), fault: FileFault::Longer(most) });
    }
    Ok(bytes)
}

/// As [`read_optional`], of a file that others may have put there: what is no regular file is not opened, which could wait
/// for somebody or do something, and nobody's lease of it is waited for.
///
/// # Errors
/// If it is another kind of file, cannot be read at once, or is longer.
pub fn read_plain(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let fail = |source| AgentError::Read { path: path.to_owned(), source };
    let found = match OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.map_err(fail)?,
    };
    if !found.metadata().map_err(fail)?.is_file() {
        return Err(fail(std::io::Error::new(ErrorKind::InvalidInput, "not a regular file")));
    }
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(link).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(AgentError::Format { path: path.to_owned(), fault: FileFault::Longer(most) });
    }
    Ok(Some(bytes))
}

/// Removes what lies in a folder and is none of the agent's: folders, but those that are named, and symlinks. The agent
/// writes by renames, which a folder in the place of a file would stop.
pub fn tidy(folder: &Path, keep: &[&str]) {
    if std::fs::symlink_metadata(folder).is_ok_and(|m| !m.is_dir()) {
        let _ = std::fs::remove_file(folder);
        return;
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let kept = entry.file_name().to_str().is_some_and(|name| keep.contains(&name));
        if kind.is_symlink() || kind.is_dir() && !kept {
            let path = entry.path();
            notice(&format_args!("{} is none of the agent's and is removed", path.display()));
            let _ = if kind.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
    }
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
