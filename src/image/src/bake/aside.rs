//! Files and folders beside a target while a bake lasts. Each is locked by the bake that made it; what nobody has locked
//! was left by one that was killed, and goes with the next.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use tempfile::{NamedTempFile, TempDir};

use super::BakeError;

const PREFIX: &str = ".kiln-bake-";
/// Bytes that are drawn for a name.
const DRAWN: usize = 6;

/// A file in a folder.
pub fn file(folder: &Path) -> Result<NamedTempFile, BakeError> {
    let make = || {
        let file = builder().tempfile_in(folder)?;
        Ok(held(&file, file.path())?.then_some(file))
    };
    first(folder, make)
}

/// A folder in a folder, and what holds it.
pub fn dir(folder: &Path) -> Result<(TempDir, File), BakeError> {
    let make = || {
        let dir = builder().tempdir_in(folder)?;
        let file = File::open(dir.path())?;
        Ok(held(&file, dir.path())?.then_some((dir, file)))
    };
    first(folder, make)
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).rand_bytes(DRAWN);
    builder
}

fn first<T>(folder: &Path, make: impl Fn() -> io::Result<Option<T>>) -> Result<T, BakeError> {
    sweep(folder);
    loop {
        // Another bake may take what was just made for a dead one's.
        if let Some(made) = make().map_err(BakeError::host(folder, "make a copy there"))? {
            return Ok(made);
        }
    }
}

/// Locks what was made. False if it was swept away meanwhile.
fn held(fd: &impl AsFd, path: &Path) -> io::Result<bool> {
    if flock(fd, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    let own = rustix::fs::fstat(fd)?;
    Ok(path.symlink_metadata().is_ok_and(|m| (m.dev(), m.ino()) == (own.st_dev, own.st_ino)))
}

/// Removes what dead bakes left. What cannot be removed only takes room.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let drawn = name.to_str().and_then(|n| n.strip_prefix(PREFIX));
        if drawn.is_none_or(|d| d.len() != DRAWN || !d.bytes().all(|b| b.is_ascii_alphanumeric())) {
            continue;
        }
        let path = entry.path();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(fd) = open(&path, flags, Mode::empty()) else { continue };
        let own = rustix::fs::fstat(&fd).is_ok_and(|s| s.st_uid == rustix::process::geteuid().as_raw());
        if own && flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
    }
}
