//! A root file system in a directory: every access is relative to its descriptor and never follows a link.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, readlinkat, statat};
use rustix::io::Errno;

use super::BakeError;
use super::image::{Found, Image, Kind, READ_MAX, split};

/// openat2(2): stay below the directory, follow nothing.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// An opened root file system directory.
#[derive(Debug)]
pub struct RootDir {
    fd: OwnedFd,
    path: PathBuf,
}

impl RootDir {
    /// Opens the directory itself; a link to it is followed, as the user named it.
    pub fn open(path: &Path) -> Result<RootDir, BakeError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(BakeError::host(path, "open"))?;
        Ok(RootDir { fd, path: path.to_owned() })
    }

    /// Where it is on this machine, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor of the root.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// A directory inside; the empty path is the root.
    pub(super) fn dir(&self, path: &str) -> Result<Option<OwnedFd>, BakeError> {
        self.open_dir(path, RESOLVE)
    }

    /// The same, where nothing on the way is a mount: to be written in.
    pub(super) fn own_dir(&self, path: &str) -> Result<Option<OwnedFd>, BakeError> {
        self.open_dir(path, RESOLVE.union(ResolveFlags::NO_XDEV))
    }

    /// The names in a directory, whatever their bytes.
    pub(super) fn list_raw(&self, path: &str) -> Result<Vec<OsString>, BakeError> {
        let Some(dir) = self.dir(path)? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir).map_err(BakeError::image(path, "list it"))? {
            let entry = entry.map_err(BakeError::image(path, "list it"))?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        names.sort();
        Ok(names)
    }

    fn open_dir(&self, path: &str, resolve: ResolveFlags) -> Result<Option<OwnedFd>, BakeError> {
        let name = if path.is_empty() { "." } else { path };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat2(&self.fd, name, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            // The path has no `..` and does not begin at the root: only a mount leads out.
            Err(Errno::XDEV) => Err(BakeError::Mount(path.to_owned())),
            Err(Errno::LOOP) => Err(BakeError::Symlink(path.to_owned())),
            // With O_DIRECTORY a link as the last component is ELOOP already; this is a file.
            Err(Errno::NOTDIR) => {
                Err(BakeError::InTheWay { path: path.to_owned(), found: "not a directory", wanted: "a directory" })
            }
            Err(e) => Err(BakeError::image(path, "open the directory")(e)),
        }
    }
}

impl RootDir {
    fn open_file(&self, path: &str) -> Result<File, BakeError> {
        // O_NONBLOCK: a pipe in the file's place must not hang the bake.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = openat2(&self.fd, path, flags, Mode::empty(), RESOLVE).map_err(|e| match e {
            Errno::LOOP | Errno::XDEV => BakeError::Symlink(path.to_owned()),
            e => BakeError::image(path, "read it")(e),
        })?;
        Ok(File::from(fd))
    }
}

impl Image for RootDir {
    fn find(&self, path: &str) -> Result<Option<Found>, BakeError> {
        let (dir, name) = split(path);
        let Some(dir) = self.dir(dir)? else { return Ok(None) };
        match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(s) => Ok(Some(Found {
                kind: match FileType::from_raw_mode(s.st_mode) {
                    FileType::RegularFile => Kind::File,
                    FileType::Directory => Kind::Dir,
                    FileType::Symlink => Kind::Link,
                    _ => Kind::Other,
                },
                mode: s.st_mode & 0o7777,
                uid: s.st_uid,
                gid: s.st_gid,
                mtime: s.st_mtime,
                len: u64::try_from(s.st_size).unwrap_or(0),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(BakeError::image(path, "look at it")(e)),
        }
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, BakeError> {
        let file = self.open_file(path)?;
        let meta = file.metadata().map_err(BakeError::image(path, "read it"))?;
        if !meta.is_file() || meta.len() > READ_MAX {
            return Err(BakeError::Content { path: path.to_owned(), what: "not a file of at most 64 MiB".to_owned() });
        }
        let mut bytes = Vec::new();
        file.take(READ_MAX).read_to_end(&mut bytes).map_err(BakeError::image(path, "read it"))?;
        Ok(bytes)
    }

    fn part(&self, path: &str, offset: u64, len: u64) -> Result<Vec<u8>, BakeError> {
        let mut file = self.open_file(path)?;
        let mut bytes = Vec::new();
        let read =
            file.seek(SeekFrom::Start(offset)).and_then(|_| file.take(len.min(READ_MAX)).read_to_end(&mut bytes));
        read.map_err(BakeError::image(path, "read it"))?;
        Ok(bytes)
    }

    fn link_target(&self, path: &str) -> Result<String, BakeError> {
        let (dir, name) = split(path);
        let dir = self.dir(dir)?.ok_or(Errno::NOENT).map_err(BakeError::image(path, "read the link"))?;
        let target = readlinkat(&dir, name, Vec::new()).map_err(BakeError::image(path, "read the link"))?;
        Ok(target.to_string_lossy().into_owned())
    }

    fn list(&self, path: &str) -> Result<Vec<String>, BakeError> {
        Ok(self.list_raw(path)?.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }
}
