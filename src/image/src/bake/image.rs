//! An image's file tree as the planner sees it, whatever holds it.

use super::BakeError;

/// Largest file that is read from an image: far above any configuration or unit, and the agent itself.
pub const READ_MAX: u64 = 64 << 20;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Other,
}

impl Kind {
    /// For messages.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::File => "a file",
            Kind::Dir => "a directory",
            Kind::Link => "a symbolic link",
            Kind::Other => "a special file",
        }
    }
}

/// What is known of a path without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, whole seconds since the epoch.
    pub mtime: i64,
    /// Size in bytes.
    pub len: u64,
}

/// Read access to an image. Paths have no leading slash and no `.` or `..`; a symbolic link in a directory part is
/// [`BakeError::Symlink`], and the last component is never followed.
pub trait Image {
    /// What stands at the path; `None` where nothing does.
    fn find(&self, path: &str) -> Result<Option<Found>, BakeError>;
    /// The bytes of a regular file of at most [`READ_MAX`] bytes.
    fn read(&self, path: &str) -> Result<Vec<u8>, BakeError>;
    /// Bytes of a regular file of any size, fewer where it ends.
    fn part(&self, path: &str, offset: u64, len: u64) -> Result<Vec<u8>, BakeError>;
    /// The target of a symbolic link.
    fn link_target(&self, path: &str) -> Result<String, BakeError>;
    /// The names in a directory, sorted; none where there is no such directory. Names that are not UTF-8 are left out:
    /// nothing that Kiln looks for has one.
    fn list(&self, path: &str) -> Result<Vec<String>, BakeError>;
}

/// What a path shall hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    File {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Permission bits, owner and group.
        mode: u32,
        /// Owner and group.
        owner: (u32, u32),
    },
    /// A symbolic link, owned by root.
    Link {
        /// Where it points.
        target: String,
    },
}

impl Node {
    /// What it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Node::File { .. } => Kind::File,
            Node::Link { .. } => Kind::Link,
        }
    }
}

/// One path to be written, or removed where `node` is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path, without leading slash.
    pub path: String,
    /// What it shall hold.
    pub node: Option<Node>,
}

/// What a plan needs done, compared with what is there: one entry a path, sorted.
pub fn pending(image: &dyn Image, plan: &[Change], owners: bool, mtime: i64) -> Result<Vec<Change>, BakeError> {
    let mut todo = Vec::new();
    for change in plan {
        let found = image.find(&change.path)?;
        let same = match (&change.node, found) {
            (None, None) => true,
            (None, Some(f)) if f.kind == Kind::Dir => {
                return Err(in_the_way(&change.path, f.kind, "a file of an earlier bake"));
            }
            (None, Some(_)) | (Some(_), None) => false,
            (Some(node), Some(f)) if f.kind != node.kind() => {
                return Err(in_the_way(&change.path, f.kind, node.kind().name()));
            }
            (Some(Node::Link { target }), Some(_)) => image.link_target(&change.path)? == *target,
            (Some(Node::File { bytes, mode, owner }), Some(f)) => {
                f.mode == *mode
                    && (!owners || (f.uid, f.gid) == *owner)
                    && f.mtime == mtime
                    && f.len == bytes.len() as u64
                    && image.read(&change.path)? == *bytes
            }
        };
        if !same {
            todo.push(change.clone());
        }
    }
    todo.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(todo)
}

fn in_the_way(path: &str, found: Kind, wanted: &'static str) -> BakeError {
    BakeError::InTheWay { path: path.to_owned(), found: found.name(), wanted }
}

/// The directory part and the name of a path.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The directories above a path, outermost first; `a/b/c` gives `a` and `a/b`.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
