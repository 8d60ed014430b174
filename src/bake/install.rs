//! Writes changes into a root file system directory, all or nothing.
//!
//! Everything new is first written to `/.kiln-bake` of the image, which is on the same file system, so that each change
//! is one rename(2); what it replaces is moved there too. A journal, written before the first rename, lists them: a
//! failure undoes them in reverse, and a bake that was killed is undone by the next one.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, fchmod, fchown, fsync, futimens, mkdirat, openat, renameat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::BakeError;
use super::image::{Change, Image, Kind, Node, ancestors, split};
use super::rootdir::RootDir;

/// The directory in the image that holds what is not yet, or no longer, in place.
pub const STAGE: &str = ".kiln-bake";
const JOURNAL: &str = "journal.json";

/// What undoing needs to know.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    /// Paths that are changed, in order, and whether something was there; old and new contents are `old-N` and `new-N`
    /// of the stage.
    paths: Vec<(String, bool)>,
    /// Directories that are made, outermost first.
    made: Vec<String>,
    /// Modification times, in seconds and nanoseconds, of the directories that were there.
    times: Vec<(String, i64, i64)>,
}

/// Who owns what is written.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Set owners; only root can.
    pub owners: bool,
    /// Modification time of all that is written, seconds since the epoch.
    pub mtime: i64,
}

/// Undoes a bake that was killed. True if there was one.
pub fn recover(root: &RootDir) -> Result<bool, BakeError> {
    let Some(found) = root.find(STAGE)? else { return Ok(false) };
    if found.kind != Kind::Dir {
        return Err(BakeError::InTheWay { path: STAGE.to_owned(), found: found.kind.name(), wanted: "a directory" });
    }
    let path = format!("{STAGE}/{JOURNAL}");
    if root.find(&path)?.is_some() {
        let bad = |what: String| BakeError::Content { path: path.clone(), what };
        let journal: Journal = serde_json::from_slice(&root.read(&path)?)
            .map_err(|e| bad(format!("the journal of an interrupted bake is damaged: {e}")))?;
        // The journal comes out of the image: it may name only what a bake writes.
        let strange = journal.paths.iter().map(|(path, _)| path).chain(&journal.made).find(|p| !plain(p));
        if let Some(strange) = strange {
            return Err(bad(format!("the journal of an interrupted bake names `{strange}`")));
        }
        undo(root, &journal)?;
        clear(root)?;
        times(root, &journal, None)?;
    } else {
        clear(root)?;
    }
    Ok(true)
}

/// Whether a path is relative and has no `.`, `..` or empty parts.
fn plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Makes the changes, or leaves the tree as it was.
pub fn install(root: &RootDir, changes: &[Change], stamp: Stamp) -> Result<(), BakeError> {
    if changes.is_empty() {
        return Ok(());
    }
    let journal = prepare(root, changes)?;
    match write(root, changes, &journal, stamp) {
        // The bake is done; what is left to clear gets a second try before it is worth an error.
        Ok(()) => clear(root).or_else(|_| clear(root)).and_then(|()| times(root, &journal, Some(stamp.mtime))),
        #[cfg(test)]
        Err(first) if tests::killed() => Err(first),
        Err(first) => {
            match undo(root, &journal).and_then(|()| clear(root)).and_then(|()| times(root, &journal, None)) {
                Ok(()) => Err(first),
                Err(then) => Err(BakeError::Rollback { first: Box::new(first), then: Box::new(then), stage: STAGE }),
            }
        }
    }
}

fn prepare(root: &RootDir, changes: &[Change]) -> Result<Journal, BakeError> {
    let mut journal = Journal { paths: Vec::new(), made: Vec::new(), times: Vec::new() };
    let mut seen = std::collections::BTreeSet::new();
    note_times(root, "", &mut journal)?;
    for change in changes {
        if !plain(&change.path) {
            return Err(BakeError::Content { path: change.path.clone(), what: "not a plain path".to_owned() });
        }
        for dir in ancestors(&change.path).filter(|d| seen.insert((*d).to_owned())) {
            match root.find(dir)? {
                None if change.node.is_some() => journal.made.push(dir.to_owned()),
                None => {}
                Some(f) if f.kind == Kind::Dir => note_times(root, dir, &mut journal)?,
                Some(f) if f.kind == Kind::Link => return Err(BakeError::Symlink(dir.to_owned())),
                Some(f) => {
                    let path = dir.to_owned();
                    return Err(BakeError::InTheWay { path, found: f.kind.name(), wanted: "a directory" });
                }
            }
        }
        journal.paths.push((change.path.clone(), root.find(&change.path)?.is_some()));
    }
    Ok(journal)
}

fn note_times(root: &RootDir, dir: &str, journal: &mut Journal) -> Result<(), BakeError> {
    let fd = need(root, dir)?;
    let stat = rustix::fs::fstat(&fd).map_err(BakeError::image(dir, "look at it"))?;
    journal.times.push((dir.to_owned(), stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)));
    Ok(())
}

fn write(root: &RootDir, changes: &[Change], journal: &Journal, stamp: Stamp) -> Result<(), BakeError> {
    step()
        .and_then(|()| mkdirat(root.fd(), STAGE, Mode::from_raw_mode(0o700)))
        .map_err(BakeError::image(STAGE, "make the directory"))?;
    let stage = need(root, STAGE)?;
    for (n, change) in changes.iter().enumerate() {
        if let Some(node) = &change.node {
            put(&stage, &format!("new-{n}"), node, stamp).map_err(BakeError::image(&change.path, "write it aside"))?;
        }
    }
    let bytes = serde_json::to_vec(journal)
        .map_err(|e| BakeError::image(STAGE, "write the journal")(std::io::Error::from(e)))?;
    let node = Node::File { bytes, mode: 0o600, owner: (0, 0) };
    put(&stage, "journal", &node, stamp).map_err(BakeError::image(STAGE, "write the journal"))?;
    step()
        .and_then(|()| renameat(&stage, "journal", &stage, JOURNAL))
        .map_err(BakeError::image(STAGE, "write the journal"))?;
    fsync(&stage).map_err(BakeError::image(STAGE, "write the journal"))?;

    for dir in &journal.made {
        let (above, name) = split(dir);
        let above = need(root, above)?;
        step()
            .and_then(|()| mkdirat(&above, name, Mode::from_raw_mode(0o755)))
            .map_err(BakeError::image(dir, "make the directory"))?;
        // The mode again, because mkdir(2) subtracts the umask.
        let fd = need(root, dir)?;
        step().and_then(|()| fchmod(&fd, Mode::from_raw_mode(0o755))).map_err(BakeError::image(dir, "set the mode"))?;
        own(&fd, (0, 0), stamp).map_err(BakeError::image(dir, "set the owner"))?;
    }
    for (n, change) in changes.iter().enumerate() {
        let (dir, name) = split(&change.path);
        let dir = need(root, dir)?;
        match step().and_then(|()| renameat(&dir, name, &stage, format!("old-{n}"))) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(BakeError::image(&change.path, "move it aside")(e)),
        }
        if change.node.is_some() {
            step()
                .and_then(|()| renameat(&stage, format!("new-{n}"), &dir, name))
                .map_err(BakeError::image(&change.path, "put it in place"))?;
        }
    }
    // Without the journal the bake is done: from here on a kill leaves only the stage to be cleared.
    step()
        .and_then(|()| unlinkat(&stage, JOURNAL, AtFlags::empty()))
        .map_err(BakeError::image(STAGE, "remove the journal"))
}

/// Before each system call that changes the tree; the tests make it fail there.
fn step() -> Result<(), Errno> {
    #[cfg(test)]
    return tests::step();
    #[cfg(not(test))]
    Ok(())
}

/// One file or link in a directory, complete with owner, mode and time.
fn put(dir: &OwnedFd, name: &str, node: &Node, stamp: Stamp) -> Result<(), std::io::Error> {
    step()?;
    match node {
        Node::File { bytes, mode, owner } => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let mut file = File::from(openat(dir, name, flags, Mode::from_raw_mode(0o600))?);
            step()?;
            file.write_all(bytes)?;
            own(&file, *owner, stamp)?;
            fchmod(&file, Mode::from_raw_mode(*mode))?;
            futimens(&file, &both(stamp.mtime, 0))?;
            file.sync_all()
        }
        Node::Link { target } => {
            symlinkat(target.as_str(), dir, name)?;
            if stamp.owners {
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(dir, name, Some(Uid::ROOT), Some(Gid::ROOT), flags)?;
            }
            Ok(utimensat(dir, name, &both(stamp.mtime, 0), AtFlags::SYMLINK_NOFOLLOW)?)
        }
    }
}

fn own(fd: impl std::os::fd::AsFd, (uid, gid): (u32, u32), stamp: Stamp) -> Result<(), Errno> {
    if stamp.owners { fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) } else { Ok(()) }
}

fn both(secs: i64, nanos: i64) -> Timestamps {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos };
    Timestamps { last_access: time, last_modification: time }
}

/// A directory that must be there.
fn need(root: &RootDir, path: &str) -> Result<OwnedFd, BakeError> {
    root.dir(path)?.ok_or(Errno::NOENT).map_err(BakeError::image(path, "open the directory"))
}

/// Directories get back the time they had, or the given one where they are new: an image must not tell when it was
/// baked.
fn times(root: &RootDir, journal: &Journal, made: Option<i64>) -> Result<(), BakeError> {
    let made = journal.made.iter().filter_map(|dir| made.map(|t| (dir, t, 0)));
    let kept = journal.times.iter().map(|(dir, s, n)| (dir, *s, *n));
    for (dir, secs, nanos) in made.chain(kept) {
        let Some(fd) = root.dir(dir)? else { continue };
        futimens(&fd, &both(secs, nanos)).map_err(BakeError::image(dir, "set its time"))?;
    }
    Ok(())
}

/// Puts back what was moved aside. May be called at any point of [`write`], and again after it was cut short itself.
fn undo(root: &RootDir, journal: &Journal) -> Result<(), BakeError> {
    let Some(stage) = root.dir(STAGE)? else { return Ok(()) };
    // Nothing outside the stage is touched before the journal is complete.
    if root.find(&format!("{STAGE}/{JOURNAL}"))?.is_none() {
        return Ok(());
    }
    for (n, (path, existed)) in journal.paths.iter().enumerate().rev() {
        let (dir, name) = split(path);
        let Some(dir) = root.dir(dir)? else { continue };
        let (old, new) = (format!("old-{n}"), format!("new-{n}"));
        if *existed {
            if root.find(&format!("{STAGE}/{old}"))?.is_some() {
                renameat(&stage, old, &dir, name).map_err(BakeError::image(path, "put it back"))?;
            }
        } else if root.find(&format!("{STAGE}/{new}"))?.is_none() && root.find(path)?.is_some() {
            unlinkat(&dir, name, AtFlags::empty()).map_err(BakeError::image(path, "take it away"))?;
        }
    }
    for made in journal.made.iter().rev() {
        let (above, name) = split(made);
        let Some(above) = root.dir(above)? else { continue };
        match unlinkat(&above, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(BakeError::image(made, "remove the directory")(e)),
        }
    }
    times(root, journal, None)
}

/// Removes the stage and what is in it.
fn clear(root: &RootDir) -> Result<(), BakeError> {
    let Some(stage) = root.dir(STAGE)? else { return Ok(()) };
    // The journal last: while it is there, an interrupted bake can still be undone.
    let mut names = root.list(STAGE)?;
    names.sort_by_key(|name| name == JOURNAL);
    for name in names {
        step()
            .and_then(|()| unlinkat(&stage, name.as_str(), AtFlags::empty()))
            .map_err(BakeError::image(STAGE, "clear it"))?;
    }
    unlinkat(root.fd(), STAGE, AtFlags::REMOVEDIR).map_err(BakeError::image(STAGE, "remove it"))
}

#[cfg(test)]
#[path = "install_tests.rs"]
mod tests;
