//! What can be baked. A format of images is one implementation of [`Target`], and one arm of [`open`].
//!
//! ```text
//! open ──► Target ── image() ──► the plan, and which of its changes are not made yet
//!             │
//!             ▼ write_aside(changes)      what the user named is as it was
//!          Written ── commit() ──►        the baked image is in its place
//! ```

pub(super) mod directory;
mod phases;
mod raw;
#[cfg(test)]
mod tests;

pub use phases::Target;

use std::path::{Path, PathBuf};

use super::BakeError;
use super::disk::{self, Shape};
use super::lock::Lock;

/// Opens the image at `target` to be baked there, or to `output`.
pub fn open(target: &Path, output: Option<&Path>, partition: Option<u32>) -> Result<Box<dyn Target>, BakeError> {
    if std::fs::metadata(target).map_err(BakeError::host(target, "open"))?.is_dir() {
        return directory::open(target, output);
    }
    // A link to a disk stays one: the file behind it is replaced.
    let real = settle(target)?;
    let place = output.map_or_else(|| Ok(real.clone()), settle)?;
    let lock = if place == real { Lock::take(&real)? } else { Lock::share(&real)? };
    match disk::detect(&real, partition)? {
        Shape::Directory => directory::open(&real, output),
        Shape::Disk(span) => raw::open(real, span, place, lock),
    }
}

/// The file that a path leads to, through links; the path itself where nothing is there yet.
fn settle(path: &Path) -> Result<PathBuf, BakeError> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => std::fs::canonicalize(path).map_err(BakeError::host(path, "follow the link")),
        _ => Ok(path.to_owned()),
    }
}
