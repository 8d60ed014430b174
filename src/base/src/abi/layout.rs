//! `repr(C)` mirror of `bpf/include/abi.h`; see there for the meaning of each field.

#![allow(missing_docs)]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

// The formats are little-endian, and the structs are read and written as they lie in memory.
#[cfg(target_endian = "big")]
compile_error!("Kiln runs on little-endian machines only");

/// Version of the layout; the agent refuses tables of another.
pub const ABI_VERSION: u32 = 4;
/// "KLN1".
pub const ABI_MAGIC: u32 = 0x314e_4c4b;
/// Size of the one map value of a generation.
pub const TABLES_BYTES: usize = 4 << 20;
/// Labels that a generation can map.
pub const SLOTS: usize = 3072;
/// Subjects that a generation can have.
pub const SUBJECTS: usize = 1024;
/// Entries of the outer map.
pub const GENERATIONS: u32 = 4;
/// Longest path that is matched; a longer one is denied.
pub const PATH_MAX: usize = 4096;
/// Deepest path that is matched.
pub const DEPTH_MAX: usize = 128;
/// Scratches of each CPU.
pub const SCRATCHES: u32 = 8;
/// Length of a network key.
pub const NET_KEY: usize = 19;
/// Verbs of a decision.
pub const OBJECT_VERBS: usize = 10;
/// `active` while nothing is enforced.
pub const INACTIVE: u32 = u32::MAX;
/// The turn is above this bit of `active`.
pub const TURN_SHIFT: u32 = 8;
/// The label of tasks without another.
pub const LABEL_HOST: u32 = 1;
/// The label by which enforcement is proven.
pub const LABEL_SENTINEL: u32 = 2;
/// In `host_verbs`: subject 1 has an `exec_start`.
pub const HOST_EXEC: u32 = 1 << 16;
/// In the accept of a state that every byte leads back to.
pub const FINAL: u32 = 1 << 31;
/// Subject flag: a profile is part of it.
pub const S_PROFILE: u32 = 1;
/// Subject flag: the sentinel's.
pub const S_SENTINEL: u32 = 2;
/// Subject flag: of a process in quarantine.
pub const S_QUARANTINE: u32 = 4;
/// `reason` of an event, and of an outcome that no rule gives: what is refused in quarantine.
pub const R_QUARANTINE: u8 = 7;
/// Subject flag: what it is permitted hangs on the time.
pub const S_TIMED: u32 = 8;
/// Subject flag: some rule permits it connections by the name of their peer.
pub const S_DNS: u32 = 32;
/// Sets of names of a policy.
pub const NAME_SETS: usize = 255;
/// Subject flag: what it is permitted hangs on the user.
pub const S_USER: u32 = 16;
/// Subject flags: another subject decides for it.
pub const S_VARIES: u32 = S_TIMED | S_USER;
/// Windows that matter to a subject.
pub const SUBJECT_WINDOWS: usize = 8;
/// Fills up the windows of a subject.
pub const NO_WINDOW: u8 = 63;
/// In the windows of a subject: it is not known which are open.
pub const UNSURE_WINDOW: u8 = 62;
/// Selectors of users of a policy; their bits are above those of windows.
pub const USER_SELECTORS: usize = 24;
/// Users that a policy distinguishes.
pub const USERS: usize = 256;
/// Windows of a policy.
pub const WINDOWS: usize = 24;
/// Entries of a schedule.
pub const OPENINGS: usize = 4096;

/// `required_hooks_lo`: some exec changes a subject. The bits below are the verbs that are governed somewhere.
pub const H_EXEC: u32 = 1 << 16;
/// `required_hooks_lo`: some unit changes a subject.
pub const H_UNIT: u32 = 1 << 17;
/// `required_hooks_lo`: some rule on accept names addresses.
pub const H_PEER: u32 = 1 << 18;
/// `required_hooks_lo`: a datagram can be refused when it arrives.
pub const H_DATAGRAM: u32 = 1 << 19;
/// `required_hooks_lo`: some limit is a rate of network traffic.
pub const H_RATES: u32 = 1 << 20;
/// `required_hooks_lo`: a rule, or a limit that is met, throttles a unit.
pub const H_THROTTLE: u32 = 1 << 23;
/// `required_hooks_lo`: some rule permits connections by the name of their peer.
pub const H_DNS: u32 = 1 << 22;

#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Outcome {
    pub rule: u32,
    pub severity: u8,
    pub action: u8,
    pub mode: u8,
    pub reason: u8,
}

#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Decision {
    pub deny: u16,
    pub would: u16,
    pub watch: u16,
    pub pad: u16,
    pub outcome: [u32; OBJECT_VERBS],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Subject {
    pub path_start: u32,
    pub net_start: u32,
    pub exec_start: u32,
    pub unit_start: u32,
    pub path_default: u32,
    pub net_default: u32,
    pub fail: u32,
    pub cap_off: u32,
    pub kernel_off: u32,
    pub verbs: u32,
    pub cap_deny: u64,
    pub cap_would: u64,
    pub cap_watch: u64,
    pub kernel_deny: u32,
    pub kernel_would: u32,
    pub kernel_watch: u32,
    pub flags: u32,
    pub net4_tcp: u32,
    pub net4_udp: u32,
    pub any_tcp: u16,
    pub any_udp: u16,
    pub kernel_detour: u32,
    pub fail_net: u32,
    pub guard_verbs: u32,
    pub guard_start: u32,
    pub guard_fail: u32,
    pub window: [u8; SUBJECT_WINDOWS],
    pub row: u32,
    pub quarantine: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Header {
    pub magic: u32,
    pub abi_version: u32,
    pub words: u32,
    pub subjects_off: u32,
    pub n_subjects: u32,
    pub decisions_off: u32,
    pub n_decisions: u32,
    pub outcomes_off: u32,
    pub n_outcomes: u32,
    pub outcome_refs_off: u32,
    pub n_outcome_refs: u32,
    pub host_verbs: u32,
    pub required_hooks_lo: u32,
    pub required_hooks_hi: u32,
    pub n_variants: u32,
    pub n_rows: u32,
    pub path_class: [u8; 256],
    pub net_class: [u8; 256],
    pub names_start: u32,
    pub n_names: u32,
    pub names_key: u64,
    pub users_off: u32,
    pub n_users: u32,
}

/// Words behind the header, as far as an automaton may use them: the walk reads up to 257 words from a state.
pub const USABLE_WORDS: usize = WORDS - 260;
/// Words behind the header.
pub const WORDS: usize = (TABLES_BYTES - (SLOTS + SUBJECTS) * 4 - size_of::<Header>()) / 8;

/// Task flag: PID 1's own code still runs.
pub const T_STARTING: u32 = 1;
/// Task flag: the host's subject applies, whatever the cgroup's label is.
pub const T_EXEMPT: u32 = 2;
/// Places of cgroups.
pub const PLACES: usize = 4096;
/// Bits of `look` that are verbs of the host's subject, and [`HOST_EXEC`].
pub const LOOK_VERBS: u32 = 0x1fff_ffff;
/// Bit of `look`: while the agent has a task with a label of its own.
pub const LOOK_AGENT: u32 = 0x2000_0000;
/// Bit of `look`: a task outside the labelled cgroups may have a label of its own.
pub const LOOK_STRAYS: u32 = 0x4000_0000;

/// Bytes of a cgroup's name in a piece of `audit_unit`; a zero follows.
pub const AUDIT_PIECE: usize = 15;
/// Pieces, so that the last one is empty for the longest name.
pub const AUDIT_PIECES: usize = 18;

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub active: u64,
    pub serial: [u64; GENERATIONS as usize],
    pub turn: u64,
    pub strays: u64,
    pub moves: u64,
    pub moving: u64,
    pub backing: u64,
    pub quarantines: u64,
    pub audit_until: u64,
    pub audit_serial: u64,
    pub audit_labels: u64,
    pub audit_unit: [u64; 2 * AUDIT_PIECES],
    pub throttles: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub from: u64,
    pub until: u64,
    pub n: u64,
    pub entry: [u64; OPENINGS],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub timekeeper: u64,
    pub trial: u64,
    pub seen: u64,
    pub turn: [u64; GENERATIONS as usize],
    pub schedule: [[Schedule; 2]; GENERATIONS as usize],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    pub group: u64,
    pub pass: u64,
    pub label: u32,
    pub pad: u32,
    pub reserved: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Groups {
    pub look: [u32; PLACES],
    pub mark: [Mark; PLACES],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Task {
    pub label: u32,
    pub flags: u32,
}

/// A key of `kiln_quarantined`.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct QuarantineKey {
    pub id: u64,
    pub start: u64,
}
/// A value of `kiln_quarantined`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Quarantine {
    pub time_ns: u64,
    pub serial: u64,
    pub label: u32,
    pub rule: u32,
    pub pid: u32,
    pub pad: u32,
}
/// Most entries of `kiln_quarantined`.
pub const QUARANTINES: u32 = 1024;

/// A value of `kiln_throttled`, by the id of a unit's cgroup.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Throttle {
    pub time_ns: u64,
    pub until_ns: u64,
    pub serial: u64,
    pub label: u32,
    pub rule: u32,
    pub pid: u32,
    pub pad: u32,
}
/// Most entries of `kiln_throttled`.
pub const THROTTLES: u32 = 1024;
/// How long a throttle lasts after it was last asked for.
pub const THROTTLE_NS: u64 = 600_000_000_000;
/// Bits a second that a unit which is throttled may send, and get.
pub const THROTTLE_RATE: u64 = 1_000_000;

/// Words of `kiln_agent_ids` (`enum kiln_agent_word`).
pub mod agent_word {
    pub const PID: u32 = 0;
    pub const INODE: u32 = 1;
    pub const DEVICE: u32 = 3;
    pub const START: u32 = 4;
    pub const KEEPER_PID: u32 = 5;
    pub const KEEPER_START: u32 = 6;
    pub const TELLING: u32 = 7;
    pub const WORDS: u32 = 8;
}
/// Nanoseconds of a tick of proc(5).
pub const TICK: u64 = 10_000_000;

/// A key of `kiln_belongings`.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct OwnKey {
    pub number: u64,
    pub device: u32,
    pub pad: u32,
}
/// A device of `OwnKey`: the number is of a mount, a peer group, or a mount namespace.
pub const AT_MOUNT: u32 = 0xffff_ffff;
pub const AT_PEERS: u32 = 0xffff_fffe;
pub const AT_NAMESPACE: u32 = 0xffff_fffd;
/// Values of `kiln_belongings`.
pub const OWN_TREE: u32 = 1;
pub const OWN_WAY: u32 = 2;
pub const OWN_GROUP: u32 = 4;
/// Above these bits of a value: how often the agent told.
pub const OWN_BITS: u32 = 3;
/// Helpers that a confined task's programs may not call.
pub const HELPERS: u32 = 5;

/// A value of `kiln_limits`; 0 is no limit.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Limit {
    pub files: u64,
    pub rate: [u64; 2],
}

/// A value of `kiln_traffics`; what comes in, and what goes out.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Traffic {
    pub due: [u64; 2],
    pub passed: [u64; 2],
    pub dropped: [u64; 2],
}

/// Name servers of a machine.
pub const SERVERS: usize = 8;
/// The value of `kiln_servers`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Resolvers {
    pub netns: u64,
    pub n: u64,
    pub server: [[u8; 16]; SERVERS],
}

/// The fixed part of an event; `object_len` bytes follow.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EventHeader {
    pub time_ns: u64,
    pub start_time_ns: u64,
    pub generation: u64,
    pub cgroup_id: u64,
    pub pid: u32,
    pub tid: u32,
    pub ppid: u32,
    pub uid: u32,
    pub label: u32,
    pub rule: u32,
    pub verb: u8,
    pub verdict: u8,
    pub reason: u8,
    pub object_kind: u8,
    pub severity: u8,
    pub action: u8,
    pub mode: u8,
    pub protocol: u8,
    pub port: u16,
    pub object_len: u16,
    pub bit: u32,
    pub comm: [u8; 16],
    pub address: [u8; 16],
}

const _: () = assert!(size_of::<Outcome>() == 8);
const _: () = assert!(size_of::<Decision>() == 48);
const _: () = assert!(size_of::<Subject>() == 128);
const _: () = assert!(size_of::<Header>() == 600);
const _: () = assert!(size_of::<EventHeader>() == 104);
const _: () = assert!(size_of::<Mark>() == 32);
