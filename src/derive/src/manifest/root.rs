//! An image's root directory, from which nothing escapes.
//!
//! Every open is an openat2(2) with RESOLVE_IN_ROOT: `/` and the targets of absolute links mean the image's root, and
//! `..` stops there. Paths given to [`Root`] are paths of the image, absolute or relative to its root.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Links that one path may pass, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// Entries that one directory may have.
const MAX_ENTRIES: usize = 200_000;
/// Longest path in bytes (PATH_MAX of linux/limits.h).
const MAX_PATH: usize = 4096;

/// The root directory of an image.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
    /// What the unit folders hold, read once.
    pub(super) units: OnceLock<super::systemd::index::Index>,
    /// Which sockets name which services, read once.
    pub(super) sockets: OnceLock<super::systemd::index::Sockets>,
}

/// Why something of an image could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The root itself.
    #[error("cannot open the image root `{path}`: {source}; give the directory that holds the image's /etc and /usr")]
    Open {
        /// As given.
        path: String,
        /// From the kernel.
        source: std::io::Error,
    },
    /// A path within.
    #[error("cannot read `{path}` in the image: {source}")]
    Read {
        /// Path in the image.
        path: String,
        /// From the kernel.
        source: std::io::Error,
    },
    /// Not what was expected there.
    #[error("`{path}` in the image is not a {expected}")]
    Kind {
        /// Path in the image.
        path: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Larger than this reader takes.
    #[error("`{path}` in the image is larger than {limit} {unit}; a real one is far smaller, so the file is refused")]
    TooLarge {
        /// Path in the image.
        path: String,
        /// The bound.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// Links in a circle, or a path beyond PATH_MAX.
    #[error("`{path}` in the image does not resolve: {why}")]
    Unresolvable {
        /// Path in the image.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl RootError {
    /// Whether the path simply is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, RootError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound
            || source.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()))
    }
}

/// What a path of the image names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link (only from [`Root::entries`]).
    Link,
    /// A device, pipe or socket.
    Other,
}

/// A path with every link resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Absolute and normalised, as the kernel would name it in the image.
    pub path: String,
    /// What it is; `None` where it does not exist (yet).
    pub kind: Option<Kind>,
    /// Owner, where it exists.
    pub uid: Option<u32>,
    /// Permission bits, where it exists.
    pub mode: Option<u32>,
}

fn shown(path: &str) -> String {
    if path.chars().count() <= 200 { path.to_owned() } else { path.chars().take(200).chain("…".chars()).collect() }
}

/// The part below the root, because openat2 takes `""` for nothing.
fn below(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        rest => rest,
    }
}

fn kind_of(mode: u32) -> Kind {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

impl Root {
    /// Opens the root directory of an image.
    pub fn open(path: &Path) -> Result<Root, RootError> {
        let failed = |source: Errno| RootError::Open { path: path.display().to_string(), source: source.into() };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        Ok(Root::at_directory(fd, path.to_owned()))
    }

    fn at_directory(fd: OwnedFd, path: PathBuf) -> Root {
        Root { fd, path, units: OnceLock::new(), sockets: OnceLock::new() }
    }

    /// A directory of the image as a root of its own (`RootDirectory=`): what is below it cannot name anything outside.
    pub fn below(&self, path: &str) -> Result<Root, RootError> {
        let fd = self.at(path, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(Root::at_directory(fd, self.path.join(below(path))))
    }

    /// The directory as given to [`Root::open`].
    pub fn host_path(&self) -> &Path {
        &self.path
    }

    /// The descriptor (O_PATH) of the root directory.
    pub fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn error(path: &str, source: Errno) -> RootError {
        RootError::Read { path: shown(path), source: source.into() }
    }

    fn at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, RootError> {
        if path.len() > MAX_PATH || path.contains('\0') {
            return Err(RootError::Unresolvable { path: shown(path), why: "it is not a path" });
        }
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // EAGAIN: somebody renamed a directory on the way, so the kernel cannot vouch for the root (openat2(2)).
        for _ in 0..16 {
            match rustix::fs::openat2(&self.fd, below(path), flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                Err(e) => return Err(Root::error(path, e)),
                Ok(fd) => return Ok(fd),
            }
        }
        Err(Root::error(path, Errno::AGAIN))
    }

    /// Opens a regular file for reading, following the image's links within the image.
    pub fn file(&self, path: &str) -> Result<File, RootError> {
        // NONBLOCK: a FIFO in the image must not hang the build.
        let fd = self.at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| Root::error(path, e))?;
        match kind_of(stat.st_mode) {
            Kind::File => Ok(File::from(fd)),
            _ => Err(RootError::Kind { path: shown(path), expected: "regular file" }),
        }
    }

    /// The bytes of a file, of at most `limit`.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, RootError> {
        let mut bytes = Vec::new();
        let read = self.file(path)?.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|source| RootError::Read { path: shown(path), source })?;
        if bytes.len() as u64 > limit {
            return Err(RootError::TooLarge { path: shown(path), limit, unit: "bytes" });
        }
        Ok(bytes)
    }

    /// The text of a file, of at most `limit` bytes; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self, path: &str, limit: u64) -> Result<String, RootError> {
        let bytes = self.read(path, limit)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    /// The names in a directory, sorted; names that are not UTF-8 are left out.
    pub fn entries(&self, path: &str) -> Result<Vec<(String, Kind)>, RootError> {
        self.entries_and_nameless(path).map(|(names, _)| names)
    }

    /// The same, and how many were left out.
    pub fn entries_and_nameless(&self, path: &str) -> Result<(Vec<(String, Kind)>, usize), RootError> {
        let fd = self.at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let failed = |e: Errno| Root::error(path, e);
        let mut names = Vec::new();
        let mut nameless = 0;
        for entry in rustix::fs::Dir::read_from(&fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().to_str() else {
                nameless += 1;
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            if names.len() == MAX_ENTRIES {
                return Err(RootError::TooLarge { path: shown(path), limit: MAX_ENTRIES as u64, unit: "entries" });
            }
            let kind = match entry.file_type() {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Directory,
                FileType::Symlink => Kind::Link,
                FileType::Unknown => rustix::fs::statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(Kind::Other, |s| kind_of(s.st_mode)),
                _ => Kind::Other,
            };
            names.push((name.to_owned(), kind));
        }
        names.sort();
        Ok((names, nameless))
    }

    /// Where a link points, as written; `None` if the path is not a link.
    pub fn link(&self, path: &str) -> Result<Option<String>, RootError> {
        let fd = self.at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| Root::error(path, e))?;
        if kind_of(stat.st_mode) != Kind::Link {
            return Ok(None);
        }
        let target = rustix::fs::readlinkat(&fd, "", Vec::new()).map_err(|e| Root::error(path, e))?;
        let target = target.into_string();
        target.map(Some).map_err(|_| RootError::Unresolvable { path: shown(path), why: "its target is not UTF-8" })
    }

    /// What the kernel will call a path once the image runs. What does not exist is named as if it were made there:
    /// links on the way are followed, the missing rest is kept.
    pub fn resolve(&self, path: &str) -> Result<Resolved, RootError> {
        let fail = |why| RootError::Unresolvable { path: shown(path), why };
        if path.contains('\u{fffd}') {
            return Err(fail("its name is not UTF-8, and a policy is: no rule is made for it"));
        }
        let split = |text: &str| text.split('/').rev().map(str::to_owned).collect::<Vec<_>>();
        let mut todo = split(path);
        let mut done: Vec<String> = Vec::new();
        let mut missing = false;
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(part),
            }
            if done.iter().map(|p| p.len() + 1).sum::<usize>() > MAX_PATH {
                return Err(fail("it is longer than 4096 bytes"));
            }
            if missing {
                continue;
            }
            match self.link(&done.join("/")) {
                Ok(None) => {}
                Err(e) if e.is_not_found() => missing = true,
                Err(e) => return Err(e),
                Ok(Some(target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(fail("its links lead in a circle"));
                    }
                    done.pop();
                    if target.starts_with('/') {
                        done.clear();
                    }
                    todo.extend(split(&target));
                }
            }
        }
        let path = format!("/{}", done.join("/"));
        let stat = match self.at(&path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(fd) => Some(rustix::fs::fstat(&fd).map_err(|e| Root::error(&path, e))?),
            Err(e) if e.is_not_found() => None,
            Err(e) => return Err(e),
        };
        Ok(Resolved {
            kind: stat.map(|s| kind_of(s.st_mode)),
            uid: stat.map(|s| s.st_uid),
            mode: stat.map(|s| s.st_mode & 0o7777),
            path,
        })
    }

    /// Whether the path exists, links followed.
    pub fn exists(&self, path: &str) -> bool {
        self.at(path, OFlags::PATH).is_ok()
    }
}

/// Small images for the tests of the readers.
#[cfg(test)]
pub(crate) mod tests_support {
    use super::Root;

    /// A directory with these files; `-> TARGET` makes a link.
    pub(crate) fn image(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let at = dir.path().join(path);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, at).unwrap(),
                None => std::fs::write(at, text).unwrap(),
            }
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn image() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        for d in ["usr/bin", "etc/a", "run", "var"] {
            std::fs::create_dir_all(at(d)).unwrap();
        }
        std::fs::write(at("usr/bin/tool"), "tool").unwrap();
        std::fs::write(at("etc/passwd"), "inside").unwrap();
        symlink("usr/bin", at("bin")).unwrap();
        symlink("/run", at("var/run")).unwrap();
        symlink("/etc/passwd", at("etc/a/abs")).unwrap();
        symlink("../../../../../../../../etc/passwd", at("etc/a/up")).unwrap();
        symlink("/etc/a/loop2", at("etc/a/loop1")).unwrap();
        symlink("/etc/a/loop1", at("etc/a/loop2")).unwrap();
        symlink("/nowhere/else", at("etc/a/dangling")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn links_stay_inside() {
        let (_dir, root) = image();
        for path in ["/etc/a/abs", "/etc/a/up", "etc/../../../etc/passwd", "//etc//passwd"] {
            assert_eq!(root.read(path, 100).unwrap(), b"inside", "{path}");
            assert_eq!(root.resolve(path).unwrap().path, "/etc/passwd", "{path}");
        }
    }

    #[test]
    fn resolves_as_the_kernel_names_it() {
        let (_dir, root) = image();
        assert_eq!(root.resolve("/bin/tool").unwrap().path, "/usr/bin/tool");
        let pid = root.resolve("/var/run/x/y.pid").unwrap();
        assert_eq!((pid.path.as_str(), pid.kind), ("/run/x/y.pid", None));
        assert_eq!(root.resolve("/etc/a/dangling").unwrap().path, "/nowhere/else");
        assert_eq!(root.resolve("/").unwrap().path, "/");
        assert!(matches!(root.resolve("/etc/a/loop1"), Err(RootError::Unresolvable { .. })));
        assert!(root.read("/etc/a/loop1", 10).is_err());
    }

    #[test]
    fn reads_are_bounded_and_only_of_files() {
        let (dir, root) = image();
        assert!(matches!(root.read("/etc/passwd", 5), Err(RootError::TooLarge { .. })));
        assert!(matches!(root.read("/etc", 5), Err(RootError::Kind { .. })));
        assert!(root.read("/etc/none", 5).unwrap_err().is_not_found());
        let fifo = dir.path().join("etc/fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(matches!(root.read("/etc/fifo", 5), Err(RootError::Kind { .. })));
        assert_eq!(root.entries("/var").unwrap(), [("run".to_owned(), Kind::Link)]);
    }
}
