//! Who asks for what.

use std::net::IpAddr;

use kiln_base::model::{KernelOp, Proto, Verb, VerbSet, mapped};

/// What is known of a task. What is absent matches no selector, but for the host name: each machine has one, and
/// an unknown one is matched by `*` alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// The path of its program.
    pub exec: Option<String>,
    /// The image from which its machine runs.
    pub image: Option<String>,
    /// Its systemd unit.
    pub unit: Option<String>,
    /// The labels of its unit.
    pub labels: Vec<String>,
    /// Its user.
    pub user: Option<String>,
    /// The machine.
    pub host: Option<String>,
}

/// What an atom is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A path as the kernel resolves it: absolute, normalised.
    Path(Vec<u8>),
    /// The peer of connect and accept, the own address of bind.
    Ip {
        /// The protocol.
        proto: Proto,
        /// The address in 128-bit form; absent if only the name is known.
        address: Option<[u8; 16]>,
        /// The name that was looked up, if one was.
        name: Option<String>,
        /// The port; 0 for ICMP.
        port: u16,
    },
    /// A unix socket: its path, or its abstract name with `@` in front.
    Unix(Vec<u8>),
    /// A capability's number.
    Capability(u8),
    /// A kernel operation.
    Kernel(KernelOp),
    /// A system call's name.
    Syscall(String),
}

impl Target {
    /// An address and port.
    pub fn ip(proto: Proto, address: IpAddr, port: u16) -> Target {
        Target::Ip { proto, address: Some(mapped(address)), name: None, port }
    }
}

/// A verb and its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Atom {
    /// One verb.
    pub verb: Verb,
    /// Its object.
    pub target: Target,
}

/// What a task asks for in one go. All its atoms must pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// One atom.
    Atom(Atom),
    /// `write`: modify, create, delete and setattr.
    Write(Vec<u8>),
    /// rename(2)
    Rename {
        /// The old name.
        from: Vec<u8>,
        /// The new name.
        to: Vec<u8>,
    },
    /// link(2)
    Link {
        /// The file.
        old: Vec<u8>,
        /// Its new name.
        new: Vec<u8>,
    },
    /// execve(2) of a script.
    Script {
        /// The script.
        script: Vec<u8>,
        /// The program of its `#!` line.
        interpreter: Vec<u8>,
    },
}

/// The verbs that a file has by its name; create and delete are of the name itself.
pub(super) const CARRIED: [Verb; 5] = [Verb::Read, Verb::Modify, Verb::Setattr, Verb::Exec, Verb::Load];

impl Operation {
    /// The old name and the new one, where the operation gives a file another name.
    pub fn renaming(&self) -> Option<(&[u8], &[u8])> {
        match self {
            Operation::Rename { from, to } => Some((from, to)),
            Operation::Link { old, new } => Some((old, new)),
            _ => None,
        }
    }

    /// The atoms, in the order in which the kernel asks for them.
    pub fn atoms(&self) -> Vec<Atom> {
        let on = |verb, path: &[u8]| Atom { verb, target: Target::Path(path.to_vec()) };
        match self {
            Operation::Atom(atom) => vec![atom.clone()],
            Operation::Write(path) => VerbSet::WRITE.iter().map(|verb| on(verb, path)).collect(),
            Operation::Rename { from, to } => vec![on(Verb::Delete, from), on(Verb::Create, to)],
            Operation::Link { old, new } => vec![on(Verb::Read, old), on(Verb::Modify, old), on(Verb::Create, new)],
            Operation::Script { script, interpreter } => vec![on(Verb::Exec, script), on(Verb::Exec, interpreter)],
        }
    }
}
