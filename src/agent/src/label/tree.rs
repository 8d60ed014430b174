//! The tree of cgroups, walked by descriptors: one name at a time, so that no depth and no length of a path, which a
//! unit or a user may make in what is delegated to them, keeps the agent from seeing the rest.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::error::{AgentError, Result};
use crate::machine::procfs::unreadable;

/// Deepest cgroup that can be a unit's own, as in the kernel programs (`KILN_UNIT_DEPTH`). What is below one has its
/// label.
const UNIT_DEPTH: usize = 64;
/// From here on procfs may not be able to say a cgroup's path.
const LONG: usize = 3000;
/// Longest list of processes that one cgroup gives; pid_max bounds it at 2^22.
const MAX_LIST: u64 = 64 << 20;

/// A labelled cgroup.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its label.
    pub label: u32,
    /// Whether this pass labelled it.
    pub changed: bool,
    /// The unit's name, if the cgroup that has the label is in a unit's place.
    pub unit: Option<Box<[u8]>>,
}

/// The labelled cgroups by their path; what is below one has its label.
#[derive(Debug, Default)]
pub struct Labelled {
    /// Those that have a label of their own.
    pub by_path: BTreeMap<PathBuf, Group>,
}

impl Labelled {
    /// What a cgroup has.
    pub fn of(&self, path: &Path) -> Option<Group> {
        path.ancestors().find_map(|path| self.by_path.get(path)).cloned()
    }
}

/// A cgroup that is visited.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Below the root of the tree.
    pub path: &'a Path,
    /// Its own name.
    pub name: &'a [u8],
    /// Its id for the kernel programs.
    pub inode: u64,
    /// What the one above it has.
    pub above: Option<&'a Group>,
    /// Whether all above it are slices. Only then does its name count as a unit's, since a delegated subtree may call its
    /// cgroups as it likes.
    pub by_slice: bool,
}

/// What is done with each cgroup; the result is what is below it has.
pub type Visit<'a> = dyn FnMut(Seen<'_>) -> Result<Option<Group>> + 'a;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn fail(path: &Path, e: Errno) -> AgentError {
    // The beginning of a long path says where.
    let bytes = path.as_os_str().as_bytes();
    unreadable(Path::new(OsStr::from_bytes(&bytes[..bytes.len().min(200)])), e.into())
}

/// `None` where it went away meanwhile.
fn there<T>(result: rustix::io::Result<T>) -> rustix::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e),
    }
}

fn folders(fd: impl AsFd) -> rustix::io::Result<Vec<(CString, u64)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(fd)? {
        let Some(entry) = there(entry)? else { continue };
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            found.push((name.to_owned(), entry.ino()));
        }
    }
    Ok(found)
}

/// Visits every cgroup that may have a label of its own, parents first.
///
/// # Errors
/// If one cannot be read that is there: what should be confined would not be.
pub fn walk(root: &Path, visit: &mut Visit<'_>) -> Result<()> {
    let fd = openat(CWD, root, FOLDER, Mode::empty()).map_err(|e| fail(root, e))?;
    below(&fd, Path::new("/"), 0, None, true, visit)
}

fn below(
    fd: &OwnedFd,
    path: &Path,
    depth: usize,
    above: Option<&Group>,
    by_slice: bool,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let Some(entries) = there(folders(fd)).map_err(|e| fail(path, e))? else { return Ok(()) };
    for (name, inode) in entries {
        let bytes = name.to_bytes();
        let here = path.join(OsStr::from_bytes(bytes));
        let group = visit(Seen { path: &here, name: bytes, inode, above, by_slice })?;
        if depth + 1 < UNIT_DEPTH {
            let opened = there(openat(fd, &*name, FOLDER, Mode::empty())).map_err(|e| fail(&here, e))?;
            let slice = by_slice && bytes.ends_with(b".slice") && bytes.len() > 6;
            if let Some(next) = opened {
                below(&next, &here, depth + 1, group.as_ref(), slice, visit)?;
            }
        }
    }
    Ok(())
}

/// Who is in cgroups that are so deep that procfs may not be able to name them, and what they have.
///
/// # Errors
/// If the root cannot be read. What is below and cannot be read any more is gone.
pub fn deep(root: &Path, groups: &Labelled) -> Result<BTreeMap<i32, Option<Group>>> {
    let mut found = BTreeMap::new();
    let mut here = openat(CWD, root, FOLDER, Mode::empty()).map_err(|e| fail(root, e))?;
    let mut path = PathBuf::from("/");
    // What is still to be visited of each level, and what the level has. By `..` back up: a descriptor for each level
    // could be more than there are.
    let first = folders(&here).map_err(|e| fail(root, e))?;
    let mut levels = vec![(first, None::<Group>)];
    while let Some((left, above)) = levels.last_mut() {
        let Some((name, _)) = left.pop() else {
            levels.pop();
            path.pop();
            match openat(&here, c"..", FOLDER, Mode::empty()) {
                Ok(up) => here = up,
                Err(_) => break,
            }
            continue;
        };
        let Ok(next) = openat(&here, &*name, FOLDER, Mode::empty()) else { continue };
        path.push(OsStr::from_bytes(name.to_bytes()));
        let group = groups.by_path.get(&path).cloned().or_else(|| above.clone());
        if path.as_os_str().len() > LONG {
            found.extend(processes(&next).into_iter().map(|pid| (pid, group.clone())));
        }
        let entries = folders(&next).unwrap_or_default();
        here = next;
        levels.push((entries, group));
    }
    Ok(found)
}

fn processes(fd: &OwnedFd) -> Vec<i32> {
    use std::io::Read;
    let list: &CStr = c"cgroup.procs";
    let Ok(file) = openat(fd, list, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else { return Vec::new() };
    let mut text = String::new();
    let _ = std::fs::File::from(file).take(MAX_LIST).read_to_string(&mut text);
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(folder: &Path, names: &[&str]) {
        let mut path = folder.to_owned();
        for name in names {
            path.push(name);
            std::fs::create_dir_all(&path).unwrap();
        }
    }

    /// Folders below each other to any depth, as a unit makes them.
    fn dig(folder: &Path, depth: usize) -> OwnedFd {
        let mut here = openat(CWD, folder, FOLDER, Mode::empty()).unwrap();
        let name = "d".repeat(100);
        for _ in 0..depth {
            rustix::fs::mkdirat(&here, name.as_str(), Mode::RWXU).unwrap();
            here = openat(&here, name.as_str(), FOLDER, Mode::empty()).unwrap();
        }
        here
    }

    fn fill_up(mut here: OwnedFd, depth: usize) {
        let name = "d".repeat(100);
        for _ in 0..depth {
            here = openat(&here, c"..", FOLDER, Mode::empty()).unwrap();
            rustix::fs::unlinkat(&here, name.as_str(), rustix::fs::AtFlags::REMOVEDIR).unwrap();
        }
    }

    #[test]
    fn slices_are_told_from_what_is_delegated_and_labels_go_down() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &["system.slice", "a.service", "b.service"]);
        make(dir.path(), &["user.slice", ".slice", "c.service"]);
        let mut seen = Vec::new();
        walk(dir.path(), &mut |Seen { path, name, above, by_slice, .. }| {
            seen.push(format!("{} {by_slice} {}", path.display(), above.map_or(0, |a| a.label)));
            let group = Group { label: 7, changed: false, unit: None };
            Ok((name == b"a.service").then_some(group).or_else(|| above.cloned()))
        })
        .unwrap();
        seen.sort();
        assert_eq!(
            seen,
            [
                "/system.slice true 0",
                "/system.slice/a.service true 0",
                "/system.slice/a.service/b.service false 7",
                "/user.slice true 0",
                "/user.slice/.slice true 0",
                "/user.slice/.slice/c.service false 0",
            ]
        );
    }

    #[test]
    fn no_depth_stops_the_walk_and_who_is_deep_is_found() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &["system.slice", "a.service"]);
        let unit = dir.path().join("system.slice/a.service");
        let bottom = dig(&unit, 120);
        let file = openat(&bottom, "cgroup.procs", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
        rustix::io::write(&file, b"12\n345\n").unwrap();
        let mut count = 0;
        walk(dir.path(), &mut |_| {
            count += 1;
            Ok(None)
        })
        .unwrap();
        assert_eq!(count, UNIT_DEPTH);
        let mut groups = Labelled::default();
        let group = Group { label: 5, changed: false, unit: Some((*b"a.service").into()) };
        groups.by_path.insert("/system.slice/a.service".into(), group);
        let found = deep(dir.path(), &groups).unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [12, 345]);
        assert_eq!(found[&345].as_ref().map(|g| g.label), Some(5));
        rustix::fs::unlinkat(&bottom, "cgroup.procs", rustix::fs::AtFlags::empty()).unwrap();
        fill_up(bottom, 120);
    }
}
