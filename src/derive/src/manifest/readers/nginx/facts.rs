//! What nginx's configuration and its binary declare.

use serde::Serialize;

use crate::manifest::net::{Endpoint, Listen};
use crate::manifest::{Origin, PathFact};

/// What nginx's configuration and its binary declare. Paths are resolved in the image.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NginxFacts {
    /// Configuration files.
    pub config: Vec<PathFact>,
    /// Folders that an `include` with wildcards lists.
    pub directories: Vec<PathFact>,
    /// Sockets it listens on.
    pub listens: Vec<Listen>,
    /// Peers it connects to.
    pub endpoints: Vec<Endpoint>,
    /// `root` and `alias`: folders that are served.
    pub trees: Vec<PathFact>,
    /// Single files read: keys, certificates, password files.
    pub files: Vec<PathFact>,
    /// `load_module`.
    pub modules: Vec<PathFact>,
    /// Logs, appended to.
    pub logs: Vec<PathFact>,
    /// The file of the process id.
    pub pid: Option<PathFact>,
    /// Folders that nginx makes and fills.
    pub temp: Vec<PathFact>,
    /// Served folders that clients may change (`dav_methods`, `proxy_store`).
    pub uploads: Vec<PathFact>,
    /// Files that modules keep what they know in (`state=`): read, written anew beside themselves, and renamed.
    pub states: Vec<PathFact>,
    /// The workers' user, where it is not root.
    pub user: Option<(String, Origin)>,
    /// `pcre_jit on`.
    pub jit: Option<Origin>,
    /// Addresses that connections are bound to before they are made (`proxy_bind`).
    pub binds: Vec<Listen>,
    /// `proxy_bind … transparent`.
    pub transparent: Option<Origin>,
    /// Where a module loads libraries from (`lua_package_cpath`).
    pub libraries: Vec<PathFact>,
    /// `worker_rlimit_nofile`.
    pub rlimit: Option<Origin>,
    /// `worker_priority`.
    pub priority: Option<Origin>,
}
