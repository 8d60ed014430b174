//! What can be baked. A format of images is one implementation of [`Target`], and one arm of [`open`].
//!
//! ```text
//! open ──► Target ── image() ──► the plan, and which of its changes are not made yet
//!             │
//!             ▼ write_aside(changes)      what the user named is as it was
//!          Written ── commit() ──►        the baked image is in its place
//! ```
//!
//! Each phase consumes the one before it, so that no target can be committed before it was written, or twice.

pub(super) mod directory;
mod raw;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::BakeError;
use super::disk::{self, Shape};
use super::image::{Change, Image};
use super::lock::Lock;

/// An image that a bake reads: locked from here to the commit, or a copy that no other bake has.
pub trait Target {
    /// Its files, for the plan.
    fn image(&self) -> &dyn Image;

    /// Whether files can be given to the owners that the plan says. Where they cannot, owners are not compared.
    fn owners(&self) -> bool {
        true
    }

    /// What opening the image showed that the user should know.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Writes the changes where no reader of the image, and no reader of the output, looks. `changes` may be empty; then
    /// an output of its own is made all the same. `epoch` is the time of all that is written.
    ///
    /// # Errors
    /// The image is then as it was, and nothing is left beside it.
    fn write_aside(self: Box<Self>, changes: &[Change], epoch: i64) -> Result<Box<dyn Written>, BakeError>;
}

/// A baked image that is complete and not yet in its place. Dropping it undoes the bake.
#[must_use = "without a commit the bake is undone"]
pub trait Written {
    /// Puts it in its place.
    ///
    /// # Errors
    /// The image is then as it was.
    fn commit(self: Box<Self>) -> Result<(), BakeError>;
}

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
