//! Writes changes into a root file system directory, all or nothing.
//!
//! Everything new is first written to a stage in the image, which is on the same file system, so that each change is one
//! rename(2); what it replaces is moved there too. The stage is `.kiln-bake` from the first change to the last, and has a
//! journal by which a failure undoes them in reverse; a bake that was killed is undone by the next one. Before and after
//! its name has the time of the root directory, which making and removing it changes.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, fchmod, fchown, fsync, futimens, mkdirat,
    openat, renameat, renameat_with, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::image::{Change, Image, Kind, Node, ancestors, split};
use super::layout::own_place;
use super::rootdir::RootDir;
use super::{BakeError, boot};

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

/// Undoes a bake that was killed. True if there was one. The leftover comes out of the image, whose author may have
/// forged it: what is not exactly as a bake leaves it is refused, and only what a bake writes is touched.
pub fn recover(root: &RootDir) -> Result<bool, BakeError> {
    let mut found = false;
    for name in root.list("")? {
        // Not begun, or done: nothing but the stage itself is there to be cleared.
        if let Some((secs, nanos)) = time_in_name(&name) {
            leftover(root, &name)?;
            clear(root, &name, (secs, nanos))?;
            found = true;
        }
    }
    let Some(stage) = root.find(STAGE)? else { return Ok(found) };
    if stage.kind != Kind::Dir {
        return Err(BakeError::InTheWay { path: STAGE.to_owned(), found: stage.kind.name(), wanted: "a directory" });
    }
    leftover(root, STAGE)?;
    let path = format!("{STAGE}/{JOURNAL}");
    let journal = root.read(&path).map_err(|_| forged("it has no journal"))?;
    let journal: Journal =
        serde_json::from_slice(&journal).map_err(|e| forged(&format!("its journal is damaged: {e}")))?;
    journal.check()?;
    undo(root, &journal)
        .and_then(|()| discard(root, &journal))
        .map_err(|e| BakeError::Recover { stage: STAGE, why: Box::new(e) })?;
    Ok(true)
}

fn forged(what: &str) -> BakeError {
    BakeError::Content {
        path: STAGE.to_owned(),
        what: format!("this is not what an interrupted bake leaves ({what}); remove it and bake again"),
    }
}

/// What may stand in a stage: the journal, and files and links by their numbers.
fn leftover(root: &RootDir, stage: &str) -> Result<(), BakeError> {
    if root.find(stage)?.is_none_or(|f| f.kind != Kind::Dir) {
        return Err(forged(&format!("/{stage} is not a directory")));
    }
    here(root, stage)?;
    let numbered = |name: &str| {
        let number = name.strip_prefix("old-").or_else(|| name.strip_prefix("new-"));
        number.is_some_and(|n| n.len() <= 9 && n.bytes().all(|b| b.is_ascii_digit()))
    };
    for name in root.list_raw(stage)? {
        let known = name.to_str().filter(|n| matches!(*n, JOURNAL | "journal") || numbered(n));
        let kind = match known {
            Some(name) => root.find(&format!("{stage}/{name}"))?.map(|f| f.kind),
            None => None,
        };
        if !matches!(kind, Some(Kind::File | Kind::Link)) {
            return Err(forged(&format!("it has {}", name.to_string_lossy())));
        }
    }
    Ok(())
}

/// The name of a stage that has no journal yet, or is done with it; it keeps the root directory's time.
fn name_with_time((secs, nanos): (i64, i64)) -> String {
    format!("{STAGE}.{secs}.{nanos}")
}

fn time_in_name(name: &str) -> Option<(i64, i64)> {
    let (secs, nanos) = name.strip_prefix(STAGE)?.strip_prefix('.')?.split_once('.')?;
    let time = (secs.parse().ok()?, nanos.parse().ok()?);
    (name_with_time(time) == name && (0..1_000_000_000).contains(&time.1)).then_some(time)
}

impl Journal {
    /// A journal may name only what a bake writes, and make only what it made.
    fn check(&self) -> Result<(), BakeError> {
        let strange = |path: &str| Err(forged(&format!("its journal names `{path}`")));
        let mut above = std::collections::BTreeSet::from([""]);
        for (path, existed) in &self.paths {
            if !plain(path) || !(own_place(path) || *existed && boot::is_place(path)) {
                return strange(path);
            }
            above.extend(ancestors(path));
        }
        let dirs = self.made.iter().chain(self.times.iter().map(|(dir, _, _)| dir));
        for dir in dirs {
            if !above.contains(dir.as_str()) {
                return strange(dir);
            }
        }
        let nanos = self.times.iter().all(|(_, _, nanos)| (0..1_000_000_000).contains(nanos));
        if nanos { Ok(()) } else { Err(forged("its journal has times that are none")) }
    }

    /// The time that the root directory had.
    fn root_time(&self) -> (i64, i64) {
        self.times.iter().find(|(dir, _, _)| dir.is_empty()).map_or((0, 0), |(_, secs, nanos)| (*secs, *nanos))
    }
}

/// Whether a path is relative and has no `.`, `..` or empty parts.
fn plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Changes whose new files are in the stage, and none of which is made yet.
#[must_use = "the stage must be committed or abandoned"]
pub struct Staged {
    journal: Journal,
    /// For each path of the journal, whether something takes its place.
    new: Vec<bool>,
    stamp: Stamp,
}

/// Writes what the changes need into the stage, or leaves the tree as it was.
pub fn stage(root: &RootDir, changes: &[Change], stamp: Stamp) -> Result<Staged, BakeError> {
    let new = changes.iter().map(|change| change.node.is_some()).collect();
    if changes.is_empty() {
        let journal = Journal { paths: Vec::new(), made: Vec::new(), times: Vec::new() };
        return Ok(Staged { journal, new, stamp });
    }
    let journal = prepare(root, changes)?;
    match fill(root, changes, &journal, stamp) {
        Ok(()) => Ok(Staged { journal, new, stamp }),
        Err(first) => Err(back(root, &journal, first)),
    }
}

impl Staged {
    /// Makes the changes, or leaves the tree as it was.
    pub fn commit(self, root: &RootDir) -> Result<(), BakeError> {
        if self.journal.paths.is_empty() {
            return Ok(());
        }
        match self.make(root) {
            // The bake is done; what is left to clear gets a second try before it is worth an error.
            Ok(done) => {
                let time = self.journal.root_time();
                clear(root, &done, time).or_else(|_| clear(root, &done, time))
            }
            Err(first) => Err(back(root, &self.journal, first)),
        }
    }

    /// Removes the stage; no change is made.
    pub fn abandon(self, root: &RootDir) -> Result<(), BakeError> {
        if self.journal.paths.is_empty() { Ok(()) } else { discard(root, &self.journal) }
    }
}

/// The error, after everything was undone for it.
fn back(root: &RootDir, journal: &Journal, first: BakeError) -> BakeError {
    #[cfg(test)]
    if tests::killed() {
        return first;
    }
    match undo(root, journal).and_then(|()| discard(root, journal)) {
        Ok(()) => first,
        Err(then) => BakeError::Rollback { first: Box::new(first), then: Box::new(then), stage: STAGE },
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

/// Fills the stage, by the name under which its journal does not count yet.
fn fill(root: &RootDir, changes: &[Change], journal: &Journal, stamp: Stamp) -> Result<(), BakeError> {
    let aside = name_with_time(journal.root_time());
    step()
        .and_then(|()| mkdirat(root.fd(), aside.as_str(), Mode::from_raw_mode(0o700)))
        .map_err(BakeError::image(&aside, "make the directory"))?;
    let stage = need(root, &aside)?;
    for (n, change) in changes.iter().enumerate() {
        if let Some(node) = &change.node {
            put(&stage, &format!("new-{n}"), node, stamp).map_err(BakeError::image(&change.path, "write it aside"))?;
        }
    }
    let bytes = serde_json::to_vec(journal)
        .map_err(|e| BakeError::image(STAGE, "write the journal")(std::io::Error::from(e)))?;
    let node = Node::File { bytes, mode: 0o600, owner: (0, 0) };
    put(&stage, JOURNAL, &node, stamp).map_err(BakeError::image(STAGE, "write the journal"))?;
    fsync(&stage).map_err(BakeError::image(STAGE, "write the journal"))
}

impl Staged {
    /// Makes the changes; gives the name that the stage has then.
    fn make(&self, root: &RootDir) -> Result<String, BakeError> {
        let (journal, stamp) = (&self.journal, self.stamp);
        let aside = name_with_time(journal.root_time());
        let stage = need(root, &aside)?;
        // By this name the journal counts.
        step()
            .and_then(|()| rename_new(root, &aside, STAGE))
            .and_then(|()| fsync(root.fd()))
            .map_err(BakeError::image(STAGE, "put it in place"))?;

        for dir in &journal.made {
            let (above, name) = split(dir);
            let above = need(root, above)?;
            step()
                .and_then(|()| mkdirat(&above, name, Mode::from_raw_mode(0o755)))
                .map_err(BakeError::image(dir, "make the directory"))?;
            // The mode again, because mkdir(2) subtracts the umask.
            let fd = need(root, dir)?;
            step()
                .and_then(|()| fchmod(&fd, Mode::from_raw_mode(0o755)))
                .map_err(BakeError::image(dir, "set the mode"))?;
            own(&fd, (0, 0), stamp).map_err(BakeError::image(dir, "set the owner"))?;
        }
        for (n, ((path, _), new)) in journal.paths.iter().zip(&self.new).enumerate() {
            let (dir, name) = split(path);
            let dir = need(root, dir)?;
            match step().and_then(|()| renameat(&dir, name, &stage, format!("old-{n}"))) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(BakeError::image(path, "move it aside")(e)),
            }
            if *new {
                step()
                    .and_then(|()| renameat(&stage, format!("new-{n}"), &dir, name))
                    .map_err(BakeError::image(path, "put it in place"))?;
            }
        }
        times(root, journal, Some(stamp.mtime))?;
        // By this name the bake is done: from here on a kill leaves only the stage to be cleared.
        step().and_then(|()| rename_new(root, STAGE, &aside)).map_err(BakeError::image(STAGE, "put it aside"))?;
        Ok(aside)
    }
}

fn rename_new(root: &RootDir, from: &str, to: &str) -> Result<(), Errno> {
    renameat_with(root.fd(), from, root.fd(), to, RenameFlags::NOREPLACE)
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
    here(root, path)?.ok_or(Errno::NOENT).map_err(BakeError::image(path, "open the directory"))
}

/// A directory on the image's own file system: what is mounted in the image is not the image's.
fn here(root: &RootDir, path: &str) -> Result<Option<OwnedFd>, BakeError> {
    root.own_dir(path)
}

/// Directories get back the time they had, or the given one where they are new: an image must not tell when it was
/// baked.
fn times(root: &RootDir, journal: &Journal, made: Option<i64>) -> Result<(), BakeError> {
    let made = journal.made.iter().filter_map(|dir| made.map(|t| (dir, t, 0)));
    let kept = journal.times.iter().map(|(dir, s, n)| (dir, *s, *n));
    for (dir, secs, nanos) in made.chain(kept) {
        let Some(fd) = here(root, dir)? else { continue };
        futimens(&fd, &both(secs, nanos)).map_err(BakeError::image(dir, "set its time"))?;
    }
    Ok(())
}

/// Puts back what was moved aside. May be called at any point of a bake, and again after it was cut short itself.
fn undo(root: &RootDir, journal: &Journal) -> Result<(), BakeError> {
    // Nothing outside the stage is touched before the journal is complete, and the stage has its name.
    let Some(stage) = here(root, STAGE)? else { return Ok(()) };
    // One path that cannot be put back keeps none of the others away; the first failure is told.
    let mut first = Ok(());
    let mut attempt = |result: Result<(), BakeError>| {
        if first.is_ok() {
            first = result;
        }
    };
    for (n, (path, existed)) in journal.paths.iter().enumerate().rev() {
        attempt(put_back(root, &stage, n, path, *existed));
    }
    for made in journal.made.iter().rev() {
        attempt(remove_dir(root, made));
    }
    first?;
    times(root, journal, None)
}

fn put_back(root: &RootDir, stage: &OwnedFd, n: usize, path: &str, existed: bool) -> Result<(), BakeError> {
    let (dir, name) = split(path);
    let Some(dir) = here(root, dir)? else { return Ok(()) };
    let (old, new) = (format!("old-{n}"), format!("new-{n}"));
    if existed {
        if root.find(&format!("{STAGE}/{old}"))?.is_some() {
            step().and_then(|()| renameat(stage, old, &dir, name)).map_err(BakeError::image(path, "put it back"))?;
        }
    } else if root.find(&format!("{STAGE}/{new}"))?.is_none() && root.find(path)?.is_some() {
        step().and_then(|()| unlinkat(&dir, name, AtFlags::empty())).map_err(BakeError::image(path, "take it away"))?;
    }
    Ok(())
}

fn remove_dir(root: &RootDir, made: &str) -> Result<(), BakeError> {
    let (above, name) = split(made);
    let Some(above) = here(root, above)? else { return Ok(()) };
    match step().and_then(|()| unlinkat(&above, name, AtFlags::REMOVEDIR)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(BakeError::image(made, "remove the directory")(e)),
    }
}

/// Removes the stage after everything was undone.
fn discard(root: &RootDir, journal: &Journal) -> Result<(), BakeError> {
    let aside = name_with_time(journal.root_time());
    if here(root, STAGE)?.is_some() {
        step().and_then(|()| rename_new(root, STAGE, &aside)).map_err(BakeError::image(STAGE, "put it aside"))?;
    }
    clear(root, &aside, journal.root_time())
}

/// Removes a stage and what is in it, and gives the root directory its time.
fn clear(root: &RootDir, stage: &str, (secs, nanos): (i64, i64)) -> Result<(), BakeError> {
    if let Some(fd) = here(root, stage)? {
        for name in root.list(stage)? {
            step()
                .and_then(|()| unlinkat(&fd, name.as_str(), AtFlags::empty()))
                .map_err(BakeError::image(stage, "clear it"))?;
        }
        unlinkat(root.fd(), stage, AtFlags::REMOVEDIR).map_err(BakeError::image(stage, "remove it"))?;
    }
    futimens(root.fd(), &both(secs, nanos)).map_err(BakeError::image("", "set its time"))
}

#[cfg(test)]
#[path = "install_tests.rs"]
mod tests;
