//! A raw disk image: changed in a copy, which takes its place by one rename.

use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::phases::{Target, Written};
use crate::bake::disk::Span;
use crate::bake::ext4::{self, Ext4Image};
use crate::bake::image::{self, Change, Image};
use crate::bake::lock::Lock;
use crate::bake::{BakeError, copy};

/// An opened disk.
struct Raw {
    before: Ext4Image,
    disk: PathBuf,
    span: Span,
    /// Where the baked disk goes.
    place: PathBuf,
    lock: Lock,
}

/// A baked copy of a disk; none where nothing was to be changed.
struct Aside {
    copy: Option<NamedTempFile>,
    place: PathBuf,
    _lock: Lock,
}

/// Opens the disk, whose root file system is at `span`.
pub(super) fn open(disk: PathBuf, span: Span, place: PathBuf, lock: Lock) -> Result<Box<dyn Target>, BakeError> {
    let before = Ext4Image::open(&disk, span)?;
    Ok(Box::new(Raw { before, disk, span, place, lock }))
}

impl Target for Raw {
    fn image(&self) -> &dyn Image {
        &self.before
    }

    fn write_aside(self: Box<Self>, changes: &[Change], epoch: i64) -> Result<Box<dyn Written>, BakeError> {
        let Raw { before, disk, span, place, lock } = *self;
        if changes.is_empty() && place == disk {
            return Ok(Box::new(Aside { copy: None, place, _lock: lock }));
        }
        let copy = copy::copy_beside(&disk, &place)?;
        ext4::check(copy.path(), span, epoch)?;
        ext4::install(copy.path(), span, &before, changes, epoch)?;
        // What was written is read back by other code than wrote it.
        let after = Ext4Image::open(copy.path(), span)?;
        if let Some(left) = image::pending(&after, changes, true, epoch)?.first() {
            let what = format!("/{} did not arrive in the image as it was written", left.path);
            return Err(BakeError::Tool { tool: "debugfs", what });
        }
        copy.as_file().sync_all().map_err(BakeError::host(&place, "write"))?;
        Ok(Box::new(Aside { copy: Some(copy), place, _lock: lock }))
    }
}

impl Written for Aside {
    fn commit(self: Box<Self>) -> Result<(), BakeError> {
        let Some(copy) = self.copy else { return Ok(()) };
        copy.persist(&self.place).map_err(|e| BakeError::host(&self.place, "put it in place")(e.error))?;
        Ok(())
    }
}
