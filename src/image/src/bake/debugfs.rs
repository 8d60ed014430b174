//! An ext4 file system through debugfs(8), for what `ext4-view` does not know: every feature that e2fsprogs has. Slower,
//! as each question is a process of its own; answers are kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use super::BakeError;
use super::disk::Span;
use super::image::{Found, Image, Kind, READ_MAX, ancestors};
use super::tool::{at, run};

/// The inode of the root folder (EXT2_ROOT_INO of ext2_fs.h), and flags of folders whose names are not as they are
/// written (EXT4_ENCRYPT_FL, EXT4_CASEFOLD_FL).
const ROOT: u64 = 2;
const ENCRYPTED: u64 = 0x800;
const CASEFOLD: u64 = 0x4000_0000;
/// Longest target of a link (PATH_MAX of limits.h).
const LINK_MAX: u64 = 4096;

/// The names in a folder, each with its inode.
type Names = Rc<Vec<(String, u64)>>;

/// An opened file system.
pub(super) struct Debugfs {
    place: PathBuf,
    known: RefCell<HashMap<u64, Rc<Inode>>>,
    folders: RefCell<HashMap<u64, Names>>,
}

/// What debugfs says of an inode.
#[derive(Debug, PartialEq, Eq)]
struct Inode {
    found: Found,
    flags: u64,
    /// Of a link whose target stands in the inode.
    target: Option<Vec<u8>>,
}

impl Debugfs {
    /// Opens the file system; says what debugfs says if it cannot.
    pub(super) fn open(path: &Path, span: Span) -> Result<Debugfs, BakeError> {
        let place = at(path, span);
        let opened = Debugfs { place, known: RefCell::default(), folders: RefCell::default() };
        opened.inode(ROOT)?;
        Ok(opened)
    }

    /// What debugfs prints for one command about an inode. It ends with 0 whatever happened; complaints are on standard
    /// error, behind its banner.
    fn ask(&self, command: &str, inode: u64) -> Result<Vec<u8>, BakeError> {
        let request = format!("{command} <{inode}>");
        let said = run("debugfs", Command::new("debugfs").arg("-c").arg("-R").arg(request).arg(&self.place), 0)?;
        match said.stderr.lines().find(|l| !l.starts_with("debugfs ") && !l.is_empty()) {
            Some(complaint) => Err(BakeError::Tool { tool: "debugfs", what: complaint.to_owned() }),
            None => Ok(said.bytes),
        }
    }

    fn inode(&self, number: u64) -> Result<Rc<Inode>, BakeError> {
        if let Some(known) = self.known.borrow().get(&number) {
            return Ok(Rc::clone(known));
        }
        let said = self.ask("stat", number)?;
        let inode = inode(&said).ok_or_else(|| foreign("stat"))?;
        let inode = Rc::new(inode);
        self.known.borrow_mut().insert(number, Rc::clone(&inode));
        Ok(inode)
    }

    /// The names in a folder that are UTF-8, with their inodes.
    fn folder(&self, path: &str, number: u64) -> Result<Rc<Vec<(String, u64)>>, BakeError> {
        let flags = self.inode(number)?.flags;
        let (what, mend) = match flags {
            f if f & CASEFOLD != 0 => (
                "does not tell upper from lower case (casefold)",
                "a folder loses it only while it is empty: move what is in it away, chattr -F, and back",
            ),
            f if f & ENCRYPTED != 0 => ("is encrypted", "Kiln writes what a machine reads without a key"),
            _ => ("", ""),
        };
        if !what.is_empty() {
            let what = format!("its folder /{path} {what}");
            return Err(BakeError::Target { path: self.place.clone(), what, mend });
        }
        if let Some(known) = self.folders.borrow().get(&number) {
            return Ok(Rc::clone(known));
        }
        let said = self.ask("ls -p", number)?;
        let list = entries(&said).ok_or_else(|| BakeError::Content {
            path: path.to_owned(),
            what: "a name with a line end or a slash is in this folder".to_owned(),
        })?;
        let list = Rc::new(list);
        self.folders.borrow_mut().insert(number, Rc::clone(&list));
        Ok(list)
    }

    /// The inode at a path. No folder above it may be a link.
    fn walk(&self, path: &str) -> Result<Option<u64>, BakeError> {
        let mut number = ROOT;
        let mut above = "";
        for part in ancestors(path).chain([path]).filter(|p| !p.is_empty()) {
            let name = part[above.len()..].trim_start_matches('/');
            let list = self.folder(above, number)?;
            let Some((_, next)) = list.iter().find(|(n, _)| n == name) else { return Ok(None) };
            number = *next;
            above = part;
            if part == path {
                break;
            }
            match self.inode(number)?.found.kind {
                Kind::Dir => {}
                Kind::Link => return Err(BakeError::Symlink(part.to_owned())),
                _ => {
                    let path = part.to_owned();
                    return Err(BakeError::InTheWay { path, found: "not a directory", wanted: "a directory" });
                }
            }
        }
        Ok(Some(number))
    }

    fn bytes(&self, path: &str, number: u64, len: u64) -> Result<Vec<u8>, BakeError> {
        let mut bytes = self.ask("cat", number)?;
        // What stands in the inode is printed with what is behind it.
        if (bytes.len() as u64) < len {
            let what = "debugfs gives less than the file's size".to_owned();
            return Err(BakeError::Content { path: path.to_owned(), what });
        }
        bytes.truncate(len as usize);
        Ok(bytes)
    }
}

impl Image for Debugfs {
    fn find(&self, path: &str) -> Result<Option<Found>, BakeError> {
        self.walk(path)?.map(|number| Ok(self.inode(number)?.found)).transpose()
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, BakeError> {
        let number = self.walk(path)?;
        match number.map(|n| Ok((n, self.inode(n)?.found))).transpose()? {
            Some((n, f)) if f.kind == Kind::File && f.len <= READ_MAX => self.bytes(path, n, f.len),
            Some((_, f)) if f.kind == Kind::Link => Err(BakeError::Symlink(path.to_owned())),
            _ => {
                let what = "not a file of at most 64 MiB".to_owned();
                Err(BakeError::Content { path: path.to_owned(), what })
            }
        }
    }

    fn part(&self, path: &str, offset: u64, len: u64) -> Result<Vec<u8>, BakeError> {
        let Some(number) = self.walk(path)? else {
            return Err(BakeError::Content { path: path.to_owned(), what: "no such file".to_owned() });
        };
        let found = self.inode(number)?.found;
        let whole = self.bytes(path, number, if found.kind == Kind::File { found.len } else { 0 })?;
        let rest = whole.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        Ok(rest[..rest.len().min(usize::try_from(len).unwrap_or(usize::MAX))].to_vec())
    }

    fn link_target(&self, path: &str) -> Result<String, BakeError> {
        let wrong = || BakeError::Content { path: path.to_owned(), what: "not a link".to_owned() };
        let number = self.walk(path)?.ok_or_else(wrong)?;
        let inode = self.inode(number)?;
        if inode.found.kind != Kind::Link || inode.found.len > LINK_MAX {
            return Err(wrong());
        }
        let bytes = match &inode.target {
            Some(target) => target.clone(),
            None => self.bytes(path, number, inode.found.len)?,
        };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn list(&self, path: &str) -> Result<Vec<String>, BakeError> {
        let Some(number) = self.walk(path)? else { return Ok(Vec::new()) };
        match self.inode(number)?.found.kind {
            Kind::Dir => {}
            Kind::Link => return Err(BakeError::Symlink(path.to_owned())),
            kind => {
                let (path, found) = (path.to_owned(), kind.name());
                return Err(BakeError::InTheWay { path, found, wanted: "a directory" });
            }
        }
        let mut names: Vec<String> = self.folder(path, number)?.iter().map(|(name, _)| name.clone()).collect();
        names.retain(|name| !matches!(&**name, "." | ".."));
        names.sort();
        Ok(names)
    }
}

fn foreign(command: &str) -> BakeError {
    BakeError::Tool { tool: "debugfs", what: format!("what it prints for `{command}` is not known to Kiln") }
}

/// Reads what `stat` prints. The lines that are looked at come before any that hold text of the image.
fn inode(said: &[u8]) -> Option<Inode> {
    let text = String::from_utf8_lossy(said);
    let head = text.lines().find(|l| l.starts_with("Inode: "))?;
    let (kind, rest) = head.split_once("Type: ")?.1.split_once(" Mode: ")?;
    let mut rest = rest.split_whitespace();
    let mode = u32::from_str_radix(rest.next()?, 8).ok()?;
    let flags = u64::from_str_radix(rest.find(|w| w.starts_with("0x"))?.trim_start_matches("0x"), 16).ok()?;
    let owners = text.lines().find(|l| l.starts_with("User: "))?;
    let after = |word: &str| owners.split_once(word)?.1.split_whitespace().next()?.parse::<i64>().ok();
    let id = |word: &str| after(word).map(|n| n as u32);
    let mut times = text.lines().filter_map(|l| l.trim_start().strip_prefix("mtime: 0x"));
    let mtime = seconds(times.next()?.split_whitespace().next()?)?;
    let kind = match kind.trim() {
        "regular" => Kind::File,
        "directory" => Kind::Dir,
        "symlink" => Kind::Link,
        _ => Kind::Other,
    };
    let len = u64::try_from(after("Size: ")?).ok()?;
    let target = (kind == Kind::Link).then(|| fast_target(said, len)).flatten();
    Some(Inode { found: Found { kind, mode, uid: id("User: ")?, gid: id("Group: ")?, mtime, len }, flags, target })
}

/// `6b089421`, or with the bits beyond 2038 in the lowest of the second number: `6b089421:00000001`.
fn seconds(text: &str) -> Option<i64> {
    let (low, high) = text.split_once(':').unwrap_or((text, "0"));
    let low = u32::from_str_radix(low, 16).ok()?.cast_signed();
    let high = u32::from_str_radix(high, 16).ok()? & 3;
    Some(i64::from(low) + (i64::from(high) << 32))
}

/// A link's target that stands in the inode: behind the last such line, as many bytes as the link is long.
fn fast_target(said: &[u8], len: u64) -> Option<Vec<u8>> {
    const LINE: &[u8] = b"\nFast link dest: \"";
    let from = said.windows(LINE.len()).rposition(|w| w == LINE)? + LINE.len();
    said.get(from..from.checked_add(usize::try_from(len).ok()?)?).map(<[u8]>::to_vec)
}

/// Reads what `ls -p` prints: `/inode/mode/uid/gid/name/size/` a line. None if a line is anything else, as a name with a
/// line end in it makes it.
fn entries(said: &[u8]) -> Option<Vec<(String, u64)>> {
    let mut list = Vec::new();
    for line in said.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let fields: Vec<&[u8]> = line.split(|b| *b == b'/').collect();
        let [b"", inode, _, _, _, name, _, b""] = fields[..] else { return None };
        let inode = std::str::from_utf8(inode).ok()?.parse().ok()?;
        if let Ok(name) = std::str::from_utf8(name)
            && inode != 0
        {
            list.push((name.to_owned(), inode));
        }
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_debugfs_prints_is_read() {
        let said = b"Inode: 317   Type: symlink    Mode:  0777   Flags: 0x40000000\n\
            Generation: 0    Version: 0x00000000:00000000\n\
            User:     0   Group:    -2   Project:     0   Size: 3\n ctime: 0x00000001 -- x\n mtime: 0x80000000:00000001 -- x\n\
            Extended attributes:\n  user.x (3) = \"mtime: 0x2\"\nFast link dest: \"a\nb\"\n";
        let read = inode(said).unwrap();
        let found =
            Found { kind: Kind::Link, mode: 0o777, uid: 0, gid: u32::MAX - 1, mtime: (1 << 32) - (1 << 31), len: 3 };
        assert_eq!(read, Inode { found, flags: CASEFOLD, target: Some(b"a\nb".to_vec()) });
        assert_eq!(seconds("6b089421"), Some(0x6b08_9421));
        for bad in [&b""[..], b"Inode: 1", b"Inode: 1 Type: x Mode: 9 Flags: 0x0"] {
            assert_eq!(inode(bad), None);
        }
        let names =
            entries(b"/2/040755/0/0/.//\n/12/100644/0/0/a b/5/\n/0/0/0/0/gone//\n/13/1/0/0/\xff/1/\n\n").unwrap();
        assert_eq!(names, [(".".to_owned(), 2), ("a b".to_owned(), 12)]);
        assert_eq!(entries(b"/12/100644/0/0/a\n/13/100644/0/0/b/5/\n"), None);
    }
}
