//! An ext4 root file system inside a file: read through `ext4-view`, or debugfs(8) where that does not know a feature;
//! written by debugfs, checked by e2fsck(8). No mount and no root rights are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use ext4_view::{Ext4, Ext4Error, Ext4Read};

use super::debugfs::Debugfs;
use super::disk::Span;
use super::image::{Change, Found, Image, Kind, Node, READ_MAX, ancestors};
use super::tool::{at, run};
use super::{BakeError, aside};

/// `s_feature_incompat` of the superblock, and its flag for a journal that is not replayed (fs/ext4/ext4.h).
const INCOMPAT_AT: u64 = 1024 + 96;
const RECOVER: u32 = 4;
/// `s_feature_ro_compat` and its flag for quotas, which e2fsck(8) keeps and debugfs(8) does not.
const RO_COMPAT_AT: u64 = 1024 + 100;
const QUOTA: u32 = 0x100;
/// EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS of ext2_fs.h: Android's images.
const SHARED_BLOCKS: u32 = 0x4000;
const JOURNAL_DEV: u32 = 0x8;
/// The counts are right after so many passes: the first may itself take blocks, which count.
const QUOTA_PASSES: usize = 3;
/// `s_rev_level` and `s_inode_size`; in revision 0 an inode has 128 bytes, and so no place for when it was made.
const REVISION_AT: u64 = 1024 + 76;
const INODE_SIZE_AT: u64 = 1024 + 88;
const SMALL_INODE: u16 = 128;

/// The features without which, or with which, `ext4-view` does not read a file system, by the names of mke2fs(8).
const FEATURES: [(u32, &str); 9] = [
    (0x1, "compression"),
    (JOURNAL_DEV, "journal_dev"),
    (0x10, "meta_bg"),
    (0x100, "mmp"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x20000, "casefold"),
];
/// All others that are known: filetype, needs_recovery, extents, 64bit, flex_bg, metadata_csum_seed, encrypt.
const COMMON: u32 = 0x122c6;

/// An opened file system.
pub struct Ext4Image {
    reader: Reader,
    head: Head,
}

enum Reader {
    View(Box<Ext4>),
    Tools(Debugfs),
}

/// What the superblock says of features.
#[derive(Debug, Clone, Copy)]
struct Head {
    incompat: u32,
    ro_compat: u32,
    inode_size: u16,
}

impl Head {
    fn read(path: &Path, span: Span) -> Result<Head, BakeError> {
        let file = File::open(path).map_err(BakeError::host(path, "open"))?;
        let at = |at: u64| -> Result<u32, BakeError> {
            let mut bytes = [0; 4];
            file.read_exact_at(&mut bytes, span.offset.saturating_add(at)).map_err(BakeError::host(path, "read"))?;
            Ok(u32::from_le_bytes(bytes))
        };
        let inode_size = if at(REVISION_AT)? == 0 { SMALL_INODE } else { at(INODE_SIZE_AT)? as u16 };
        Ok(Head { incompat: at(INCOMPAT_AT)?, ro_compat: at(RO_COMPAT_AT)?, inode_size })
    }

    /// What is no file system that can be written, and how to get there.
    fn foreign(self) -> Option<(&'static str, &'static str)> {
        if self.incompat & JOURNAL_DEV != 0 {
            return Some((
                "it is the journal of another file system (journal_dev)",
                "name the partition that has the root file system by --partition",
            ));
        }
        // What is written to one file would stand in the other.
        (self.ro_compat & SHARED_BLOCKS != 0).then_some((
            "files of its root file system share their blocks (shared_blocks): it is made to be read only",
            "`e2fsck -fy -E unshare_blocks` gives each file its own; where none shares any, \
             `debugfs -w -R 'feature -shared_blocks'` takes the mark away",
        ))
    }

    /// The features that are not in every file system, for messages.
    fn features(self) -> String {
        let known = FEATURES.iter().filter(|(bit, _)| self.incompat & bit != 0).map(|(_, name)| (*name).to_owned());
        let named = FEATURES.iter().fold(COMMON, |all, (bit, _)| all | bit);
        let rest = (0..32).map(|n| 1 << n).filter(|bit| self.incompat & !named & bit != 0);
        known.chain(rest.map(|bit| format!("{bit:#x}"))).collect::<Vec<_>>().join(", ")
    }
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
        let head = Head::read(path, span)?;
        if head.incompat & RECOVER != 0 {
            return Err(BakeError::Target {
                path: path.to_owned(),
                what: "its root file system was not unmounted cleanly".to_owned(),
                mend: "shut the machine down properly, or replay the journal with e2fsck",
            });
        }
        if let Some((what, mend)) = head.foreign() {
            return Err(BakeError::Target { path: path.to_owned(), what: what.to_owned(), mend });
        }
        let file = File::open(path).map_err(BakeError::host(path, "open"))?;
        let reader = match Ext4::load(Box::new(Window { file, span })) {
            Ok(fs) if head.inode_size > SMALL_INODE => Reader::View(Box::new(fs)),
            Ok(_) | Err(Ext4Error::Incompatible(_)) => Reader::Tools(Self::tools(path, span, head)?),
            Err(e) => {
                return Err(BakeError::Target {
                    path: path.to_owned(),
                    what: format!("its root file system cannot be read ({e})"),
                    mend: "check it with e2fsck; Kiln reads ext4 only",
                });
            }
        };
        Ok(Ext4Image { reader, head })
    }

    fn tools(path: &Path, span: Span, head: Head) -> Result<Debugfs, BakeError> {
        Debugfs::open(path, span).map_err(|error| match error {
            BakeError::Tool { what, .. } if what.contains("unsupported") => BakeError::Target {
                path: path.to_owned(),
                what: format!("e2fsprogs here does not read its root file system, which has {}", head.features()),
                mend: "install a newer e2fsprogs, or make the file system without the feature",
            },
            other => other,
        })
    }
}

/// What `ext4-view` reads.
struct View<'a>(&'a Ext4);

impl View<'_> {
    fn at(path: &str) -> String {
        format!("/{path}")
    }

    /// No directory above a path may be a link. False where one is missing.
    fn real_parents(&self, path: &str) -> Result<bool, BakeError> {
        for dir in ancestors(path) {
            match self.0.symlink_metadata(Self::at(dir).as_str()) {
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
    if matches!(error, Ext4Error::Encrypted) {
        let what = "it is encrypted, and Kiln writes what a machine reads without a key".to_owned();
        return BakeError::Content { path: path.to_owned(), what };
    }
    BakeError::Content { path: path.to_owned(), what: format!("the file system is damaged here: {error}") }
}

impl Ext4Image {
    fn ask<T>(&self, question: impl FnOnce(&dyn Image) -> T) -> T {
        match &self.reader {
            Reader::View(fs) => question(&View(fs)),
            Reader::Tools(tools) => question(tools),
        }
    }
}

impl Image for Ext4Image {
    fn find(&self, path: &str) -> Result<Option<Found>, BakeError> {
        self.ask(|image| image.find(path))
    }
    fn read(&self, path: &str) -> Result<Vec<u8>, BakeError> {
        self.ask(|image| image.read(path))
    }
    fn part(&self, path: &str, offset: u64, len: u64) -> Result<Vec<u8>, BakeError> {
        self.ask(|image| image.part(path, offset, len))
    }
    fn link_target(&self, path: &str) -> Result<String, BakeError> {
        self.ask(|image| image.link_target(path))
    }
    fn list(&self, path: &str) -> Result<Vec<String>, BakeError> {
        self.ask(|image| image.list(path))
    }
}

impl Image for View<'_> {
    fn find(&self, path: &str) -> Result<Option<Found>, BakeError> {
        if !self.real_parents(path)? {
            return Ok(None);
        }
        let meta = match self.0.symlink_metadata(Self::at(path).as_str()) {
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
        self.0.read(Self::at(path).as_str()).map_err(|e| broken(path, e))
    }

    fn part(&self, path: &str, offset: u64, len: u64) -> Result<Vec<u8>, BakeError> {
        let mut file = self.0.open(Self::at(path).as_str()).map_err(|e| broken(path, e))?;
        file.seek_to(offset).map_err(|e| broken(path, e))?;
        let left = file.metadata().len().saturating_sub(offset).min(len).min(READ_MAX);
        let mut bytes = vec![0; left as usize];
        let mut have = 0;
        while have < bytes.len() {
            match file.read_bytes(&mut bytes[have..]).map_err(|e| broken(path, e))? {
                0 => break,
                n => have += n,
            }
        }
        bytes.truncate(have);
        Ok(bytes)
    }

    fn link_target(&self, path: &str) -> Result<String, BakeError> {
        let target = self.0.read_link(Self::at(path).as_str()).map_err(|e| broken(path, e))?;
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
        for entry in self.0.read_dir(Self::at(path).as_str()).map_err(|e| broken(path, e))? {
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

/// Fails unless e2fsck finds nothing to mend but counts of quotas, which it then mends: mke2fs(8) with a folder of files
/// leaves them wrong, and debugfs(8) does not keep them.
pub fn check(disk: &Path, span: Span, epoch: i64) -> Result<(), BakeError> {
    let quotas = Head::read(disk, span)?.ro_compat & QUOTA != 0;
    let fsck = |how: &str| run("e2fsck", Command::new("e2fsck").arg(how).arg(at(disk, span)), epoch);
    let mut said = fsck("-fn")?;
    for _ in 0..QUOTA_PASSES {
        if !quotas || said.code == Some(0) || !only_quotas(&String::from_utf8_lossy(&said.bytes)) {
            break;
        }
        fsck("-fp")?;
        said = fsck("-fn")?;
    }
    if said.code == Some(0) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&said.bytes);
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("Pass ")).take(6).collect();
    Err(BakeError::Tool { tool: "e2fsck", what: format!("the root file system is not clean: {}", lines.join("; ")) })
}

/// Whether all that e2fsck complains of is counts of quotas. Behind those lines it says how it ended.
fn only_quotas(text: &str) -> bool {
    let quota = |line: &&str| {
        line.is_empty()
            || line.starts_with("Pass ")
            || line.contains("QUOTA WARNING")
            || line.starts_with("Update quota info")
    };
    let mut rest = text.lines().skip_while(quota);
    rest.all(|l| l.is_empty() || l.contains("still has errors") || l.contains(" files (") && l.contains(" blocks"))
}

/// The commands for debugfs. File names in the image are Kiln's own or units' and never hold quotes or line ends.
fn script(stage: &Path, image: &Ext4Image, changes: &[Change], epoch: i64) -> Result<String, BakeError> {
    let mut text = String::new();
    let times = (epoch, image.head.inode_size > SMALL_INODE);
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
                fields(&mut text, dir, 0o40755, (0, 0), times);
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
                fields(&mut text, &change.path, 0o120777, (0, 0), times);
            }
            Some(Node::File { bytes, mode, owner }) => {
                let from = stage.join(format!("file-{n}"));
                std::fs::write(&from, bytes).map_err(BakeError::host(&from, "write"))?;
                push(&mut text, format_args!("write \"{}\" \"/{}\"", from.display(), change.path));
                fields(&mut text, &change.path, 0o100_000 | mode, *owner, times);
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

/// `made` is whether an inode has a place for when it was made.
fn fields(text: &mut String, path: &str, mode: u32, (uid, gid): (u32, u32), (epoch, made): (i64, bool)) {
    push(text, format_args!("set_inode_field \"/{path}\" mode 0{mode:o}"));
    push(text, format_args!("set_inode_field \"/{path}\" uid {uid}"));
    push(text, format_args!("set_inode_field \"/{path}\" gid {gid}"));
    for field in ["atime", "ctime", "mtime"].into_iter().chain(made.then_some("crtime")) {
        push(text, format_args!("set_inode_field \"/{path}\" {field} @{epoch}"));
    }
}
