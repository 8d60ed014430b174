//! One bake at a time: a lock on the image itself, which the kernel releases with the process that has it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

use super::BakeError;

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    /// A child that another thread just forked has the descriptor, too, until it executes: closing ours is not enough.
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl Lock {
    /// To change the image.
    pub fn take(image: &Path) -> Result<Lock, BakeError> {
        lock(image, FlockOperation::NonBlockingLockExclusive)
    }

    /// To read it while nobody changes it.
    pub fn share(image: &Path) -> Result<Lock, BakeError> {
        lock(image, FlockOperation::NonBlockingLockShared)
    }
}

fn lock(image: &Path, how: FlockOperation) -> Result<Lock, BakeError> {
    loop {
        // O_NONBLOCK: a pipe must not hang the bake.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = open(image, flags, Mode::empty()).map_err(BakeError::host(image, "open"))?;
        let file = File::from(file);
        match flock(&file, how) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(BakeError::Busy { path: image.to_owned() }),
            Err(e) => return Err(BakeError::host(image, "lock it")(e)),
        }
        // A bake that ended just now has put another file in the place of the one that was opened.
        let place = |m: std::fs::Metadata| (m.dev(), m.ino());
        let has = file.metadata().map(place).map_err(BakeError::host(image, "look at it"))?;
        let named = std::fs::metadata(image).map(place).map_err(BakeError::host(image, "look at it"))?;
        if has == named {
            return Ok(Lock { file });
        }
    }
}
