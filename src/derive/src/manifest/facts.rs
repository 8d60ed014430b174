//! What the readers find, together.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Origin;
use super::declared::Declared;
use super::fact::PathFact;
use super::net::Listen;
use super::systemd::{CommandLine, Unit};

/// A shared library of a program's closure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Library {
    /// Path in the image, links resolved.
    pub path: String,
    /// The entry that asks for it.
    pub origin: Origin,
}

/// A program that a unit runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Path in the image, links resolved.
    pub path: String,
    /// The command line that names it.
    pub origin: Origin,
    /// The loader and every library, or nothing for a static program.
    pub libraries: Vec<Library>,
    /// Whether it is dynamically linked (and so runs the loader).
    pub dynamic: bool,
    /// Whether glibc is among its libraries.
    pub glibc: bool,
    /// What of it asks glibc where the first thread's stack is (pthread_getattr_np(3)): the program or a library.
    pub asks_for_stack: Option<Origin>,
    /// For a script: the interpreter is a program of its own.
    pub script: bool,
}

/// A command of the unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Command {
    /// `ExecStart` and the like.
    pub key: String,
    /// Its words.
    pub line: CommandLine,
    /// The program, links resolved.
    pub program: String,
    /// Where it stands.
    pub origin: Origin,
}

/// A shell that command lines of the unit run with a text. It has a profile of its own, to which the service's profile
/// switches: the service's other programs start no shell that has what they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Helper {
    /// The shell, links resolved.
    pub shell: String,
    /// The shell and the tools that its text runs, by path.
    pub programs: BTreeMap<String, Program>,
    /// Programs that it starts as the service, each with what says so.
    pub starts: BTreeMap<String, Origin>,
    /// Files that the text reads.
    pub reads: Vec<PathFact>,
    /// Files that it makes, writes and removes.
    pub writes: Vec<PathFact>,
    /// The command lines.
    pub origins: Vec<Origin>,
}

/// What the image has for every program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// What every program linked to glibc opens on its own: the loader's cache, the zone, the processors.
    pub glibc: Vec<PathFact>,
    /// What glibc opens to look up users and groups.
    pub users: Vec<PathFact>,
    /// What glibc opens to look up hosts.
    pub hosts: Vec<PathFact>,
    /// Name servers of /etc/resolv.conf; empty where only the running machine knows them.
    pub name_servers: Vec<(std::net::IpAddr, Origin)>,
    /// Modules that glibc loads by name (`libnss_*.so.2`), with their closure.
    pub modules: Vec<Library>,
    /// Where the name service asks over a socket.
    pub sockets: Vec<PathFact>,
    /// OpenSSL's own configuration, for programs that link it.
    pub openssl: Vec<PathFact>,
    /// The time zone, which programs of every run-time library read.
    pub zone: Vec<PathFact>,
    /// Certificates of authorities, for programs that bring a run-time library of their own.
    pub authorities: Vec<PathFact>,
}

/// All facts of one service.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceFacts {
    /// The unit.
    pub unit: Unit,
    /// Its commands, in the order of their keys.
    pub commands: Vec<Command>,
    /// The programs by path.
    pub programs: BTreeMap<String, Program>,
    /// The package that owns the unit file.
    pub package: Option<String>,
    /// Folders of that package and its siblings of the same source that are named after it, below /etc and /usr: its
    /// configuration and data.
    pub data: Vec<PathFact>,
    /// The same below /var: its state.
    pub state: Vec<PathFact>,
    /// Shells with profiles of their own.
    pub helpers: Vec<Helper>,
    /// Folders that the unit makes writable: ReadWritePaths=, BindPaths= and their kin.
    pub writable: Vec<PathFact>,
    /// Folders and files that it shows for reading: BindReadOnlyPaths= and its kin.
    pub readable: Vec<PathFact>,
    /// Files that systemd opens for the service's standard streams to append to.
    pub streams: Vec<PathFact>,
    /// PIDFile=.
    pub pid: Option<PathFact>,
    /// Files and folders that the command lines name.
    pub arguments: Vec<PathFact>,
    /// Where systemd listens for the service (its `.socket` units).
    pub sockets: Vec<Listen>,
    /// Those of them that the service binds itself, because nothing in the image starts their units.
    pub unbound: Vec<Listen>,
    /// FIFOs and special files of its `.socket` units.
    pub fifos: Vec<PathFact>,
    /// Files that logrotate makes anew with another owner or mode.
    pub rotated: Vec<PathFact>,
    /// What the configuration of its programs declares; `None` where no reader knows them.
    pub declared: Option<Declared>,
    /// Of the image.
    pub image: ImageFacts,
}
