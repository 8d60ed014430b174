//! A descriptor by which the pins are found wherever they are mounted: of a mount of the bpffs that is in no namespace.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, fstatfs, open, statx};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

/// Magic number of bpffs (include/uapi/linux/magic.h).
const BPF_FS: u64 = 0xcafe_4a11;

/// A descriptor of the root of the bpffs.
#[derive(Debug, Clone)]
pub struct Anchor(Arc<OwnedFd>);

impl Anchor {
    /// A new mount of the file system that is mounted at a path.
    ///
    /// # Errors
    /// If there is none, or it is not a bpffs.
    pub fn make(at: &Path) -> io::Result<Anchor> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Anchor::check(open_tree(CWD, at, flags)?)
    }

    fn check(fd: OwnedFd) -> io::Result<Anchor> {
        if fstatfs(&fd)?.f_type as u64 != BPF_FS {
            return Err(io::Error::other("not a bpffs"));
        }
        Ok(Anchor(Arc::new(fd)))
    }

    /// The root, by this descriptor.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// Puts the mount where the pins should be.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn put_back(&self, at: &Path) -> io::Result<()> {
        move_mount(&*self.0, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(())
    }

    /// Those that a process holds, of these file systems. What is of another one, which may be any service's by its
    /// descriptors in systemd's store, is not asked anything: it need not answer (FUSE).
    pub fn of_process(proc_root: &Path, pid: u32, of: &[Device]) -> Vec<Anchor> {
        let folder = proc_root.join(pid.to_string()).join("fd");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            // A path descriptor: opening must not disturb what the process has there.
            let fd = open(entry.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            let fd = fd.ok().filter(|fd| device(fd).is_some_and(|device| of.contains(&device)));
            found.extend(fd.and_then(|fd| Anchor::check(fd).ok()));
        }
        found
    }
}

/// The number of a file system, major and minor.
pub type Device = (u32, u32);

/// That of a descriptor's, as the kernel knows it without asking whoever serves it.
pub fn device(fd: impl AsFd) -> Option<Device> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(fd, "", flags, StatxFlags::empty()).ok()?;
    Some((stat.stx_dev_major, stat.stx_dev_minor))
}

impl AsFd for Anchor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
