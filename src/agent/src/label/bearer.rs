//! `kiln_labels`: the label that a process bears itself, found by its pidfd.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use kiln_base::abi::layout::Task;

use crate::bpf::map::Map;
use crate::error::{AgentError, Result, Step};

/// `kiln_labels`.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a>(pub &'a Map);

impl Labels<'_> {
    /// What a process bears; none if that is nothing, or the process is gone.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn of(self, pidfd: &OwnedFd) -> Result<Option<Task>> {
        match self.0.read(&pidfd.as_raw_fd()) {
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(None),
            other => other.map_err(|e| AgentError::kernel(Step::ReadLabel, e)),
        }
    }

    /// Labels a process (its leader; the kernel programs look there for threads without a label of their own).
    ///
    /// # Errors
    /// Of the kernel; `ESRCH` if the process is gone.
    pub fn set(self, pidfd: &OwnedFd, task: Task) -> io::Result<()> {
        self.0.write(&pidfd.as_raw_fd(), &task)
    }
}
