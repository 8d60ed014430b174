//! What is read of `/proc/PID` (proc(5)), and what it means that it cannot be.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::AgentError;

/// What is read of `/proc/PID/stat` (proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its parent.
    pub parent: i32,
    /// `PF_*` of include/linux/sched.h.
    pub flags: u32,
    /// In ticks since boot.
    pub start: u64,
    /// Address of the bottom of the stack; 0 for who may not know.
    pub stack: u64,
}

impl Stat {
    /// The command name may hold anything, `)` too.
    pub fn parse(stat: &[u8]) -> Option<Stat> {
        let end = stat.iter().rposition(|b| *b == b')')?;
        let text = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
        let mut fields = text.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?; // field 4
        let flags = fields.nth(4)?.parse().ok()?; // field 9
        let start = fields.nth(12)?.parse().ok()?; // field 22
        let stack = fields.nth(5)?.parse().ok()?; // field 28
        Some(Stat { parent, flags, start, stack })
    }
}

/// The cgroup v2 path of `/proc/PID/cgroup` (cgroups(7)).
pub fn cgroup_path(text: &[u8]) -> Option<PathBuf> {
    let line = text.split(|b| *b == b'\n').find_map(|l| l.strip_prefix(b"0::"))?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(line)))
}

/// Bytes that a program chose, safe in a line of text.
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// `None` where a cgroup or process went away meanwhile.
pub fn gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::ESRCH)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The error of a path that is there and cannot be read.
pub fn unreadable(path: &Path, source: io::Error) -> AgentError {
    AgentError::Read { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procfs_texts() {
        let stat = b"812 (a) b (c)) S 1 812 812 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1 1 23 24 140 29";
        assert_eq!(Stat::parse(stat), Some(Stat { parent: 1, flags: 4_194_560, start: 4711, stack: 140 }));
        for bad in [&b""[..], b"1 (x", b"1 (x) S", b"1 (x) S a b", b"1 (x) \xff"] {
            assert_eq!(Stat::parse(bad), None);
        }
        assert_eq!(
            cgroup_path(b"1:name=x:/\n0::/system.slice/a b.service\n"),
            Some("/system.slice/a b.service".into())
        );
        assert_eq!(cgroup_path(b"1:name=x:/\n"), None);
    }
}
