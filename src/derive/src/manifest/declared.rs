//! What a program's configuration declares, in the same words for every reader.

use kiln_base::model::KernelOp;
use serde::Serialize;

use super::net::{At, Endpoint, Listen, To};
use super::root::Root;
use super::{Origin, PathFact};

/// What configurations declare. A reader fills in what it finds and leaves the rest empty; each fact carries its
/// origin. Paths are absolute, links resolved ([`Root::resolve`]), except in patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Declared {
    /// Files that are read, and folders that are listed.
    pub reads: Vec<PathFact>,
    /// Folders that are read with all below.
    pub trees: Vec<PathFact>,
    /// Libraries that the program loads by path. Those of literal paths bring their own libraries.
    pub loads: Vec<PathFact>,
    /// Other programs that it runs.
    pub executes: Vec<PathFact>,
    /// Logs: appended to, made where they are missing, given to the service's user when they are reopened.
    pub appends: Vec<PathFact>,
    /// Files that it makes, reads, writes and removes: the process id.
    pub makes: Vec<PathFact>,
    /// Folders that it makes and fills.
    pub fills: Vec<PathFact>,
    /// Folders, there already, in which it changes what it likes.
    pub changes: Vec<PathFact>,
    /// Files that it reads, writes anew beside themselves, and renames.
    pub replaces: Vec<PathFact>,
    /// Sockets that it listens on.
    pub listens: Vec<Listen>,
    /// Addresses that it binds before it connects.
    pub binds: Vec<Listen>,
    /// Peers that it connects to.
    pub connects: Vec<Endpoint>,
    /// The user that it becomes, where that is not root.
    pub user: Option<(String, Origin)>,
    /// Capabilities that it uses as root, by name, beside those that follow from `user` and from low ports.
    pub capabilities: Vec<(&'static str, Origin)>,
    /// Kernel facilities that it uses, beside the change of user.
    pub kernel: Vec<(KernelOp, Origin)>,
}

impl Declared {
    /// Whether the program resolves host names.
    pub fn resolves_names(&self) -> bool {
        self.connects.iter().any(|e| matches!(e.to, To::Name(..) | To::Loopback(_)))
    }

    /// Adds what another program of the same service declares.
    pub fn extend(&mut self, other: Declared) {
        self.reads.extend(other.reads);
        self.trees.extend(other.trees);
        self.loads.extend(other.loads);
        self.executes.extend(other.executes);
        self.appends.extend(other.appends);
        self.makes.extend(other.makes);
        self.fills.extend(other.fills);
        self.changes.extend(other.changes);
        self.replaces.extend(other.replaces);
        self.listens.extend(other.listens);
        self.binds.extend(other.binds);
        self.connects.extend(other.connects);
        self.user = self.user.take().or(other.user);
        self.capabilities.extend(other.capabilities);
        self.kernel.extend(other.kernel);
    }

    /// Sorts the paths, each once, and names unix sockets as the kernel does: by their real path.
    pub fn settle(&mut self, root: &Root) {
        let real = |path: &mut String| {
            if let Ok(resolved) = root.resolve(path) {
                *path = resolved.path;
            }
        };
        for listen in &mut self.listens {
            if let At::Unix(path) = &mut listen.at {
                real(path);
            }
        }
        for endpoint in &mut self.connects {
            if let To::Unix(path) = &mut endpoint.to {
                real(path);
            }
        }
        let lists = [
            &mut self.reads,
            &mut self.trees,
            &mut self.loads,
            &mut self.executes,
            &mut self.appends,
            &mut self.makes,
            &mut self.fills,
            &mut self.changes,
            &mut self.replaces,
        ];
        for list in lists {
            list.sort();
            list.dedup();
        }
        self.user = self.user.take().filter(|(name, _)| name != "root");
    }
}
