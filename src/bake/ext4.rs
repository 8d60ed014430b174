//! An ext4 root file system inside a file: read through `ext4-view`, written by debugfs(8), checked by e2fsck(8). No
//! mount and no root rights are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ext4_view::{Ext4, Ext4Error, Ext4Read};

use super::disk::Span;
use super::image::{Change, Found, Image, Kind, Node, READ_MAX, ancestors};
use super::{BakeError, aside};

/// `s_feature_incompat` of the superblock, and its flag for a journal that is not replayed (fs/ext4/ext4.h).
const INCOMPAT_AT: u64 = 1024 + 96;
const RECOVER: u32 = 4;

/// An opened file system.
pub struct Ext4Image {
    fs: Ext4,
}

/// The bytes of the file system and nothing beside it.
struct Window {
    file: File,
    span: Span,
}

impl Ext4Read for Window {
    fn read(&mut self, start: u64, dst: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let end = start.checked_add(dst.len() as u64).filter(|end| *end <= self.span.len);
        if end.is_none() {
            return Err("the file system points behind its own end".into());
        }
        Ok(self.file.read_exact_at(dst, self.span.offset + start)?)
    }
}

impl Ext4Image {
    /// Opens the file system for reading.
    pub fn open(path: &Path, span: Span) -> Result<Ext4Image, BakeError> {
        let file = File::open(path).map_err(BakeError::host(path, "open"))?;
        let mut incompat = [0; 4];
        file.read_exact_at(&mut incompat, span.offset + INCOMPAT_AT).map_err(BakeError::host(path, "read"))?;
        if u32::from_le_bytes(incompat) & RECOVER != 0 {
            return Err(BakeError::Target {
                path: path.to_owned(),
                what: "its root file system was not unmounted cleanly".to_owned(),
                mend: "shut the machine down properly, or replay the journal with e2fsck",
            });
        }
        let fs = Ext4::load(Box::new(Window { file, span })).map_err(|e| BakeError::Target {
            path: path.to_owned(),
            what: format!("its root file system cannot be read ({e})"),
            mend: "check it with e2fsck; Kiln reads ext4 only",
        })?;
        Ok(Ext4Image { fs })
    }

    fn at(path: &str) -> String {
        format!("/{path}")
    }

    /// No directory above a path may be a link. False where one is missing.
    fn real_parents(&self, path: &str) -> Result<bool, BakeError> {
        for dir in ancestors(path) {
            match self.fs.symlink_metadata(Self::at(dir).as_str()) {
                Ok(m) if m.is_symlink() => return Err(BakeError::Symlink(dir.to_owned())),
                Ok(m) if m.is_dir() => {}
                Ok(_) => {
                    let path = dir.to_owned();
                    return Err(BakeError::InTheWay { path, found: "not a directory", wanted: "a directory" });
                }
                Err(Ext4Error::NotFound) => return Ok(false),
                Err(e) => return Err(broken(dir, e)),
            }
        }
        Ok(true)
    }
}

fn broken(path: &str, error: Ext4Error) -> BakeError {
    BakeError::Content { path: path.to_owned(), what: format!("the file system is damaged here: {error}") }
}

impl Image for Ext4Image {
    fn find(&self, path: &str) -> Result<Option<Found>, BakeError> {
        if !self.real_parents(path)? {
            return Ok(None);
        }
        let meta = match self.fs.symlink_metadata(Self::at(path).as_str()) {
            Ok(meta) => meta,
            Err(Ext4Error::NotFound) => return Ok(None),
            Err(e) => return Err(broken(path, e)),
        };
        let kind = match meta.file_type() {
            t if t.is_regular_file() => Kind::File,
            t if t.is_dir() => Kind::Dir,
            t if t.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        let mode = u32::from(meta.mode()) & 0o7777;
        let mtime = meta.modified().seconds();
        Ok(Some(Found { kind, mode, uid: meta.uid(), gid: meta.gid(), mtime, len: meta.len() }))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, BakeError> {
        match self.find(path)? {
            Some(f) if f.kind == Kind::File && f.len <= READ_MAX => {}
            Some(f) if f.kind == Kind::Link => return Err(BakeError::Symlink(path.to_owned())),
            _ => {
                let what = "not a file of at most 64 MiB".to_owned();
                return Err(BakeError::Content { path: path.to_owned(), what });
            }
        }
        self.fs.read(Self::at(path).as_str()).map_err(|e| broken(path, e))
    }

    fn link_target(&self, path: &str) -> Result<String, BakeError> {
        let target = self.fs.read_link(Self::at(path).as_str()).map_err(|e| broken(path, e))?;
        Ok(String::from_utf8_lossy(target.as_ref()).into_owned())
    }

    fn list(&self, path: &str) -> Result<Vec<String>, BakeError> {
        match self.find(path)? {
            None => return Ok(Vec::new()),
            Some(f) if f.kind == Kind::Dir => {}
            Some(f) if f.kind == Kind::Link => return Err(BakeError::Symlink(path.to_owned())),
            Some(f) => {
                let (path, found) = (path.to_owned(), f.kind.name());
                return Err(BakeError::InTheWay { path, found, wanted: "a directory" });
            }
        }
        let mut names = Vec::new();
        for entry in self.fs.read_dir(Self::at(path).as_str()).map_err(|e| broken(path, e))? {
            let entry = entry.map_err(|e| broken(path, e))?;
            if let Ok(name) = entry.file_name().as_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Makes the changes in a disk image. Not atomic: the caller works on a copy. `epoch` becomes every time that is
/// written.
pub fn install(disk: &Path, span: Span, image: &Ext4Image, changes: &[Change], epoch: i64) -> Result<(), BakeError> {
    if changes.is_empty() {
        return Ok(());
    }
    let (stage, _held) = aside::dir(&std::env::temp_dir())?;
    let script = script(stage.path(), image, changes, epoch)?;
    let file = stage.path().join("commands");
    File::create(&file).and_then(|mut f| f.write_all(script.as_bytes())).map_err(BakeError::host(&file, "write"))?;
    let said = run("debugfs", Command::new("debugfs").arg("-w").arg("-f").arg(&file).arg(at(disk, span)), epoch)?;
    // debugfs ends with 0 whatever its commands did; what it complains of is on standard error, after its banner.
    let complaint: Vec<&str> = said.stderr.lines().filter(|l| !l.starts_with("debugfs ") && !l.is_empty()).collect();
    if !complaint.is_empty() {
        return Err(BakeError::Tool { tool: "debugfs", what: complaint.join("; ") });
    }
    check(disk, span, epoch)
}

/// Fails unless e2fsck finds nothing to mend; changes nothing.
pub fn check(disk: &Path, span: Span, epoch: i64) -> Result<(), BakeError> {
    let said = run("e2fsck", Command::new("e2fsck").arg("-fn").arg(at(disk, span)), epoch)?;
    if said.code == Some(0) {
        return Ok(());
    }
    let lines: Vec<&str> = said.stdout.lines().filter(|l| !l.starts_with("Pass ")).take(6).collect();
    Err(BakeError::Tool { tool: "e2fsck", what: format!("the root file system is not clean: {}", lines.join("; ")) })
}

/// The notation of libext2fs for a file system inside a file.
fn at(disk: &Path, span: Span) -> PathBuf {
    let mut name = disk.as_os_str().to_owned();
    if span.offset != 0 {
        name.push(format!("?offset={}", span.offset));
    }
    PathBuf::from(name)
}

/// The commands for debugfs. File names in the image are Kiln's own or units' and never hold quotes or line ends.
fn script(stage: &Path, image: &Ext4Image, changes: &[Change], epoch: i64) -> Result<String, BakeError> {
    let mut text = String::new();
    let (mut made, mut kept) = (BTreeSet::new(), BTreeMap::new());
    for (n, change) in changes.iter().enumerate() {
        if change.path.contains(['"', '\n', '\r']) {
            return Err(BakeError::Content {
                path: change.path.clone(),
                what: "a name with quotes or line ends".to_owned(),
            });
        }
        for dir in std::iter::once("").chain(ancestors(&change.path)) {
            if let Some(found) = image.find(dir)? {
                kept.insert(dir.to_owned(), found.mtime);
            } else if change.node.is_some() && made.insert(dir.to_owned()) {
                push(&mut text, format_args!("mkdir \"/{dir}\""));
                fields(&mut text, dir, 0o40755, (0, 0), epoch);
            }
        }
        if image.find(&change.path)?.is_some() {
            push(&mut text, format_args!("rm \"/{}\"", change.path));
        }
        match &change.node {
            None => {}
            Some(Node::Link { target }) => {
                if target.contains(['"', '\n', '\r']) {
                    return Err(BakeError::Content {
                        path: change.path.clone(),
                        what: "a link with quotes".to_owned(),
                    });
                }
                push(&mut text, format_args!("symlink \"/{}\" \"{target}\"", change.path));
                fields(&mut text, &change.path, 0o120777, (0, 0), epoch);
            }
            Some(Node::File { bytes, mode, owner }) => {
                let from = stage.join(format!("file-{n}"));
                std::fs::write(&from, bytes).map_err(BakeError::host(&from, "write"))?;
                push(&mut text, format_args!("write \"{}\" \"/{}\"", from.display(), change.path));
                fields(&mut text, &change.path, 0o100_000 | mode, *owner, epoch);
            }
        }
    }
    // Directories get back the time they had: an image must not tell when it was baked.
    for (dir, mtime) in kept {
        push(&mut text, format_args!("set_inode_field \"/{dir}\" mtime @{mtime}"));
    }
    Ok(text)
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

fn fields(text: &mut String, path: &str, mode: u32, (uid, gid): (u32, u32), epoch: i64) {
    push(text, format_args!("set_inode_field \"/{path}\" mode 0{mode:o}"));
    push(text, format_args!("set_inode_field \"/{path}\" uid {uid}"));
    push(text, format_args!("set_inode_field \"/{path}\" gid {gid}"));
    for field in ["atime", "ctime", "mtime", "crtime"] {
        push(text, format_args!("set_inode_field \"/{path}\" {field} @{epoch}"));
    }
}

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(tool: &'static str, command: &mut Command, epoch: i64) -> Result<Said, BakeError> {
    // libext2fs takes this for the current time; 0 would mean the real one.
    command.env("E2FSPROGS_FAKE_TIME", epoch.max(1).to_string()).env("LC_ALL", "C").stdin(Stdio::null());
    // e2fsprogs lives in sbin, which is not on every user's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env_remove("DEBUGFS_PAGER");
    match command.output() {
        Ok(output) => Ok(Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(BakeError::Tool { tool, what: "not found; install it with: apt-get install e2fsprogs".to_owned() })
        }
        Err(e) => Err(BakeError::Tool { tool, what: e.to_string() }),
    }
}
