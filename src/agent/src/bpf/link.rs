//! Links: what holds a program at its hook. A pinned link outlives the agent.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::bpf::{check, obj_get, obj_pin};

/// An open link.
#[derive(Debug)]
pub struct Link {
    fd: OwnedFd,
    id: u32,
    program: u32,
}

impl Link {
    /// From a descriptor of a link.
    ///
    /// # Errors
    /// If it is not one.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Link> {
        let mut info = libbpf_sys::bpf_link_info::default();
        let mut len = size_of_val(&info) as u32;
        // SAFETY: `info` is writable for `len` bytes; its pointers are null, so that the kernel writes no strings.
        check(unsafe { libbpf_sys::bpf_link_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut len) })?;
        Ok(Link { fd, id: info.id, program: info.prog_id })
    }

    /// Opens a pinned link.
    ///
    /// # Errors
    /// If the pin is absent or is not a link.
    pub fn open(path: &Path) -> io::Result<Link> {
        Link::from_fd(obj_get(path)?)
    }

    /// Pins the link.
    ///
    /// # Errors
    /// Failures of the kernel.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        obj_pin(self.fd.as_raw_fd(), path)
    }

    /// The kernel's id.
    pub fn id(&self) -> u32 {
        self.id
    }
    /// Id of the program that it holds.
    pub fn program(&self) -> u32 {
        self.program
    }
}
