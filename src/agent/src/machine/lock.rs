//! One agent at a time: it alone reads the event buffer and flips generations.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{AgentError, Holder, Result};
use crate::machine::files::tidy;

/// The held lock; it is free again when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the run folder, which is made for root only.
    ///
    /// # Errors
    /// [`AgentError::Busy`] if another process has it.
    pub fn take(run: &Path) -> Result<Lock> {
        let path = run.join("lock");
        tidy(run, &[]);
        let fail = |source| AgentError::Read { path: path.clone(), source };
        match std::fs::DirBuilder::new().mode(0o700).create(run) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(fail(e)),
            _ => {}
        }
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open.map_err(fail)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = file.take(20).read_to_string(&mut holder);
                return Err(AgentError::Busy(Holder { pid: holder.trim().parse().ok(), in_the_way: false }));
            }
            Err(e) => return Err(fail(e.into())),
        }
        // Only told to people.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("kiln");
        let held = Lock::take(&run).unwrap();
        let error = Lock::take(&run).unwrap_err();
        assert!(matches!(&error, AgentError::Busy(holder) if holder.pid == Some(std::process::id())), "{error}");
        drop(held);
        Lock::take(&run).unwrap();
    }
}
