//! Verbs, the classes of a policy, and the names of kernel operations and capabilities.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::word::Vocabulary;

/// What the object of a verb is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A path.
    File,
    /// A socket address.
    Network,
    /// A name of a list of its own: capabilities, kernel operations, system calls.
    Names,
}

macro_rules! verbs {
    ($($variant:ident = $bit:literal, $keyword:literal, $class:ident $($preposition:literal)?, $doc:literal;)*) => {
        /// What a subject asks of the kernel. The number is the bit in every mask of `bpf/include/abi.h`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum Verb { $(#[doc = $doc] $variant = $bit,)* }

        impl Verb {
            /// All verbs, in bit order.
            pub const ALL: [Verb; [$($bit),*].len()] = [$(Verb::$variant,)*];

            /// The PDL keyword.
            pub const fn name(self) -> &'static str {
                match self { $(Verb::$variant => $keyword,)* }
            }

            /// What its object is.
            pub const fn class(self) -> Class {
                match self { $(Verb::$variant => Class::$class,)* }
            }

            /// The word before the address in a rule, where the object is one.
            pub const fn preposition(self) -> Option<&'static str> {
                match self {
                    $($(Verb::$variant => Some($preposition),)?)*
                    _ => None,
                }
            }
        }
    };
}

// The one table of verbs: bit, keyword, class with its preposition. Which hooks a verb needs stands at the hooks:
// `NEEDS()` in `bpf/` has the keywords of this table, and the agent reads them from the object.
//
// A bit is never used again, and none is ever moved. A verb to come takes the next one: masks have room for 16. If its
// object is a path or an address, its outcome is one more of a decision's (`KILN_OBJECT_VERBS` is then its bit and 1),
// which makes a new `KILN_ABI_VERSION` and renumbers nothing.
verbs! {
    Read = 0, "read", File, "Open for reading.";
    Modify = 1, "modify", File, "Open an existing file for writing, or truncate it.";
    Create = 2, "create", File, "Make a new name: create, mknod, mkdir, symlink, the new name of link and rename.";
    Delete = 3, "delete", File, "Remove a name: unlink, rmdir, the old name of rename.";
    Setattr = 4, "setattr", File, "Change mode, owner, times or extended attributes.";
    Exec = 5, "exec", File, "Run as a program, script or interpreter.";
    Load = 6, "load", File, "Map executable (a library).";
    Bind = 7, "bind", Network "on", "Bind or listen on an address.";
    Connect = 8, "connect", Network "to", "Connect or send to an address.";
    Accept = 9, "accept", Network "from", "Accept a connection from an address.";
    Capability = 10, "capability", Names, "Use a capability (capabilities(7)).";
    Kernel = 11, "kernel", Names, "Use a kernel facility; see [`KernelOp`].";
    Syscall = 12, "syscall", Names, "Call a system call.";
}

/// Bits of a set of verbs, and so verbs that there can ever be: the bits above them mean other things in
/// `required_hooks_lo` and `host_verbs`.
const MOST_VERBS: usize = u16::BITS as usize;
const _: () = assert!(Verb::ALL.len() <= MOST_VERBS);

/// A name that is not a verb, class, capability or kernel operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a known name")]
pub struct ParseVerbError(String);

impl Verb {
    /// Whether the object of this verb is a path.
    pub const fn is_file(self) -> bool {
        self.is(Class::File)
    }

    /// Whether the object of this verb is a socket address.
    pub const fn is_network(self) -> bool {
        self.is(Class::Network)
    }

    /// As `==`, which is for values that are made at run time.
    const fn is(self, class: Class) -> bool {
        self.class() as u8 == class as u8
    }

    /// The keywords of a class, in bit order, for tables of the parser.
    ///
    /// # Panics
    /// If they are not `N`; when it is compiled, where the result is a constant.
    pub const fn keywords<const N: usize>(class: Class) -> [&'static str; N] {
        let (mut words, mut at, mut found) = ([""; N], 0, 0);
        while at < Verb::ALL.len() {
            if Verb::ALL[at].is(class) {
                words[found] = Verb::ALL[at].name();
                found += 1;
            }
            at += 1;
        }
        assert!(found == N, "the class has another number of verbs");
        words
    }

    /// The verb of a bit number.
    pub fn from_bit(bit: u8) -> Option<Verb> {
        Verb::ALL.get(bit as usize).copied()
    }
}

impl Vocabulary for Verb {
    fn all() -> &'static [Verb] {
        &Verb::ALL
    }
    fn word(self) -> &'static str {
        self.name()
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Verb {
    type Err = ParseVerbError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Verb::ALL.into_iter().find(|v| v.name() == s).ok_or_else(|| ParseVerbError(s.to_owned()))
    }
}

/// A set of verbs, as a bit mask; in JSON a list of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "Vec<Verb>"))]
#[serde(from = "Vec<Verb>", into = "Vec<Verb>")]
pub struct VerbSet(u16);

impl From<Vec<Verb>> for VerbSet {
    fn from(verbs: Vec<Verb>) -> VerbSet {
        verbs.into_iter().collect()
    }
}
impl From<VerbSet> for Vec<Verb> {
    fn from(set: VerbSet) -> Vec<Verb> {
        set.iter().collect()
    }
}

impl VerbSet {
    /// No verb.
    pub const EMPTY: VerbSet = VerbSet(0);
    /// Every verb.
    pub const ALL: VerbSet = VerbSet((1 << Verb::ALL.len()) - 1);
    /// `write` of PDL: modify, create, delete and setattr.
    pub const WRITE: VerbSet = VerbSet::of(&[Verb::Modify, Verb::Create, Verb::Delete, Verb::Setattr]);
    /// The verbs whose object is a path.
    pub const FILE: VerbSet = VerbSet::of_class(Class::File);
    /// bind, connect and accept.
    pub const NETWORK: VerbSet = VerbSet::of_class(Class::Network);
    /// What is refused in quarantine: new code and new peers. Files go on, so that evidence is kept.
    pub const QUARANTINE: VerbSet = VerbSet::NETWORK.union(VerbSet::of(&[Verb::Exec, Verb::Load]));

    const fn of(verbs: &[Verb]) -> VerbSet {
        let (mut bits, mut at) = (0, 0);
        while at < verbs.len() {
            bits |= 1 << verbs[at] as u8;
            at += 1;
        }
        VerbSet(bits)
    }
    const fn of_class(class: Class) -> VerbSet {
        let (mut bits, mut at) = (0, 0);
        while at < Verb::ALL.len() {
            if Verb::ALL[at].is(class) {
                bits |= 1 << Verb::ALL[at] as u8;
            }
            at += 1;
        }
        VerbSet(bits)
    }
    /// From the bits of abi.h; unknown bits are dropped.
    pub const fn from_bits(bits: u16) -> VerbSet {
        VerbSet(bits & Self::ALL.0)
    }
    /// The bits of abi.h.
    pub const fn bits(self) -> u16 {
        self.0
    }
    /// Adds a verb.
    pub fn insert(&mut self, verb: Verb) {
        self.0 |= 1 << verb as u8;
    }
    /// Whether the verb is in the set.
    pub const fn contains(self, verb: Verb) -> bool {
        self.0 & (1 << verb as u8) != 0
    }
    /// Whether no verb is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The verbs of either set.
    pub const fn union(self, other: VerbSet) -> VerbSet {
        VerbSet(self.0 | other.0)
    }
    /// The verbs of both sets.
    pub const fn intersection(self, other: VerbSet) -> VerbSet {
        VerbSet(self.0 & other.0)
    }
    /// The words of PDL for the verbs, in bit order; `write` for its four.
    pub fn words(self) -> Vec<&'static str> {
        let write = self.intersection(VerbSet::WRITE) == VerbSet::WRITE;
        let word = |verb: Verb| if write && VerbSet::WRITE.contains(verb) { "write" } else { verb.name() };
        let mut words: Vec<&str> = self.iter().map(word).collect();
        words.dedup();
        words
    }
    /// The verbs, in bit order.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |v| self.contains(*v))
    }
}

impl FromIterator<Verb> for VerbSet {
    fn from_iter<I: IntoIterator<Item = Verb>>(iter: I) -> Self {
        let mut set = VerbSet::EMPTY;
        iter.into_iter().for_each(|v| set.insert(v));
        set
    }
}

macro_rules! kernel_ops {
    ($($variant:ident = $bit:literal, $name:literal, $doc:literal;)*) => {
        /// A kernel facility of the `kernel` class; the number is the bit of `enum kiln_kernel_op`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum KernelOp { $(#[doc = $doc] $variant = $bit,)* }
        impl KernelOp {
            /// All operations, in bit order.
            pub const ALL: &'static [KernelOp] = &[$(KernelOp::$variant,)*];
            /// The PDL name.
            pub const fn name(self) -> &'static str {
                match self { $(KernelOp::$variant => $name,)* }
            }
        }
    };
}

kernel_ops! {
    Bpf = 0, "bpf", "bpf(2)";
    Kexec = 1, "kexec", "kexec_load(2), kexec_file_load(2)";
    Module = 2, "module", "Loading a kernel module, by call or by request";
    Ptrace = 3, "ptrace", "ptrace(2) and access to another task's memory";
    Userns = 4, "userns", "A new user namespace";
    Mount = 5, "mount", "Changing the mount tree";
    Perf = 6, "perf", "perf_event_open(2)";
    IoUring = 7, "io_uring", "io_uring personalities, SQPOLL and passthrough commands";
    Clock = 8, "clock", "Setting the clock";
    ExecMemory = 9, "exec_memory", "Executable memory that is not an unmodified file";
    Chroot = 10, "chroot", "chroot(2)";
    RawSocket = 11, "raw_socket", "Raw and packet sockets and uncommon families";
    Setuid = 12, "setuid", "Changing user or group ids";
    Lockdown = 13, "lockdown", "What kernel lockdown guards (/dev/mem, msr, debugfs)";
    Ioctl = 14, "ioctl", "ioctl(2) on character and block devices";
}

impl Vocabulary for KernelOp {
    fn all() -> &'static [KernelOp] {
        KernelOp::ALL
    }
    fn word(self) -> &'static str {
        self.name()
    }
}

impl FromStr for KernelOp {
    type Err = ParseVerbError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        KernelOp::ALL.iter().copied().find(|v| v.name() == s).ok_or_else(|| ParseVerbError(s.to_owned()))
    }
}

/// Capability names by number, without the `CAP_` prefix (include/uapi/linux/capability.h).
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// The PDL name of a capability number.
pub fn capability_name(number: u8) -> Option<&'static str> {
    CAPABILITIES.get(number as usize).copied()
}

/// The PDL names of all capabilities, by number.
pub fn capability_names() -> impl Iterator<Item = &'static str> {
    CAPABILITIES.into_iter()
}

/// The number of a capability by its PDL name (`net_bind_service`).
pub fn capability_number(name: &str) -> Option<u8> {
    CAPABILITIES.iter().position(|c| *c == name).map(|n| n as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for verb in Verb::ALL {
            assert_eq!(verb.name().parse(), Ok(verb));
            assert_eq!(Verb::from_bit(verb as u8), Some(verb));
            assert_eq!(serde_json::to_value(verb).unwrap(), verb.name());
        }
        for op in KernelOp::ALL {
            assert_eq!(op.name().parse(), Ok(*op));
        }
        assert_eq!(capability_number("checkpoint_restore"), Some(40));
        assert_eq!(capability_name(10), Some("net_bind_service"));
    }

    #[test]
    fn sets_are_of_the_table() {
        let sets = [VerbSet::ALL, VerbSet::FILE, VerbSet::NETWORK, VerbSet::WRITE].map(VerbSet::bits);
        assert_eq!(sets, [0x1fff, 0x7f, 0x380, 0x1e]);
        assert_eq!(Verb::keywords::<3>(Class::Network), ["bind", "connect", "accept"]);
        assert_eq!(VerbSet::FILE.words(), ["read", "write", "exec", "load"]);
        assert_eq!(VerbSet::from_bits(0x0b).words(), ["read", "modify", "delete"]);
        assert_eq!(VerbSet::from_bits(0xe000), VerbSet::EMPTY, "verbs to come");
    }
}
