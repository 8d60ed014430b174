//! The types of the normal form.

use std::collections::BTreeMap;

use kiln_base::model::{Action, Because, Cidr, Mode, Outcome, PortRange, Proto, Resource, Verb, VerbSet};
pub use kiln_base::model::{BlockKind, Span, Window};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A resolved policy: every block of all files given, sorted by kind and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// The language edition (`pdl 1`).
    pub edition: u32,
    /// Windows by name.
    pub windows: BTreeMap<String, Window>,
    /// Profiles and guards; a block's place is its id in the tables' metadata.
    pub blocks: Vec<Block>,
}

/// A profile or guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// Profile or guard.
    pub kind: BlockKind,
    /// Its name, unique among the blocks of its kind.
    pub name: String,
    /// Enforce, audit or learn.
    pub mode: Mode,
    /// Lines OR, selectors in one line AND; never empty.
    pub subjects: Vec<Vec<Selector>>,
    /// The classes under default deny (all of them where `governs` is absent). For a guard: all.
    pub governs: VerbSet,
    /// The schedule outside which the block's action applies.
    pub active: Option<Active>,
    /// `on violation …` without classes.
    pub on_violation: Outcome,
    /// `on violation of CLASS …`.
    pub on_violation_of: BTreeMap<Verb, Outcome>,
    /// Rules, expanded from abstractions, in source order.
    pub rules: Vec<Rule>,
    /// `never allow`, in guards.
    pub nevers: Vec<Never>,
    /// Resource limits.
    pub limits: Vec<Limit>,
}

/// A condition on who the task is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Selector {
    /// Which property.
    pub key: SelectorKey,
    /// A path glob for `exec`, a name glob otherwise.
    pub pattern: Glob,
}

/// Properties of a task, most specific first (the order of tie breaking).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelectorKey {
    /// The path of its program.
    Exec,
    /// The image from which its machine runs.
    Image,
    /// Its systemd unit.
    Unit,
    /// A label of its unit.
    Label,
    /// Its user.
    User,
    /// The machine's host name.
    Host,
}

impl SelectorKey {
    /// The PDL keyword.
    pub const fn name(self) -> &'static str {
        match self {
            SelectorKey::Exec => "exec",
            SelectorKey::Image => "image",
            SelectorKey::Unit => "unit",
            SelectorKey::Label => "label",
            SelectorKey::User => "user",
            SelectorKey::Host => "host",
        }
    }
}

/// The text of a glob, checked; `automata::glob` gives its meaning. For paths it is absolute and normalised.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Glob(pub String);

/// `active during W else ACTION`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Active {
    /// The window's name.
    pub window: String,
    /// What happens outside it.
    pub otherwise: Option<Action>,
    /// Why.
    pub because: Vec<Because>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Permit, unless something denies.
    Allow,
    /// Refuse.
    Deny,
    /// Report, never decide.
    Watch,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Allow, deny or watch.
    pub effect: Effect,
    /// What it is about.
    pub object: Object,
    /// `during` and `by`; all must hold.
    pub conditions: Vec<Condition>,
    /// Its own outcome.
    pub outcome: Outcome,
    /// Why it is there.
    pub because: Vec<Because>,
    /// Its canonical text, without `because`, for explanations.
    pub text: String,
    /// Where it was written (`file:line`, through an abstraction the `use`).
    pub origin: String,
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Object {
    /// Paths.
    File {
        /// Among the file verbs.
        verbs: VerbSet,
        /// Any of these.
        paths: Vec<Glob>,
        /// But none of these.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        except: Vec<Glob>,
        /// `as PROFILE`, with exec only.
        switch: Option<String>,
    },
    /// IP sockets.
    Net {
        /// Among bind, connect and accept.
        verbs: VerbSet,
        /// The protocol.
        proto: Proto,
        /// Any of these.
        addresses: Addresses,
        /// Any of these; sorted, merged; `[ANY]` where the rule names none.
        ports: Vec<PortRange>,
    },
    /// Unix sockets: paths, or abstract names with `@` in front.
    Unix {
        /// Among bind, connect and accept.
        verbs: VerbSet,
        /// Any of these.
        paths: Vec<Glob>,
        /// But none of these.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        except: Vec<Glob>,
    },
    /// Capabilities by number (0–63); `any` is all of them.
    Capability {
        /// Sorted, unique.
        numbers: Vec<u8>,
    },
    /// Kernel operations by bit.
    Kernel {
        /// Sorted, unique.
        ops: Vec<kiln_base::model::KernelOp>,
    },
    /// System calls by name; `@group` as systemd's SystemCallFilter=; `any` is `["any"]`.
    Syscall {
        /// Sorted, unique.
        names: Vec<String>,
    },
}

impl Object {
    /// The patterns of paths and sockets, and those that are taken out of them.
    pub fn patterns(&self) -> (&[Glob], &[Glob]) {
        match self {
            Object::File { paths, except, .. } | Object::Unix { paths, except, .. } => (paths, except),
            _ => (&[], &[]),
        }
    }
}

/// The addresses of a network rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", content = "of")]
pub enum Addresses {
    /// Blocks, sorted; `any` is `[Cidr::ANY]`, `loopback` both loopback blocks.
    Blocks(Vec<Cidr>),
    /// A DNS name pattern.
    Dns(String),
}

/// A condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", content = "of")]
pub enum Condition {
    /// Within the window of that name.
    During(String),
    /// All of these selectors match the task.
    By(Vec<Selector>),
}

/// `never allow OBJECT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Never {
    /// What must not be allowed anywhere.
    pub object: Object,
    /// Why.
    pub because: Vec<Because>,
    /// Where it was written.
    pub origin: String,
}

/// A resource limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// Which resource, and how much.
    pub amount: Amount,
    /// Only within this window.
    pub during: Option<String>,
    /// What follows when it is reached.
    pub outcome: Outcome,
    /// Why.
    pub because: Vec<Because>,
    /// Where it was written.
    pub origin: String,
}

/// Amounts of resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "resource")]
pub enum Amount {
    /// Percent of one CPU, as CPUQuota=.
    Cpu {
        /// Percent.
        percent: u32,
    },
    /// Memory in bytes.
    Memory {
        /// Bytes.
        bytes: u64,
    },
    /// Tasks.
    Pids {
        /// Tasks.
        max: u64,
    },
    /// Open files of a process.
    Files {
        /// Descriptors.
        max: u64,
    },
    /// Disk rates.
    Io {
        /// Bytes a second, by verb (read, write as `modify`).
        rates: BTreeMap<Verb, u64>,
    },
    /// Network rate.
    Network {
        /// `in` if true, else `out`.
        inbound: bool,
        /// Bits a second.
        rate: u64,
    },
}

impl Amount {
    /// Of which resources it is, and how much of each.
    pub fn resources(&self) -> BTreeMap<Resource, u64> {
        let one = |resource, most| BTreeMap::from([(resource, most)]);
        match self {
            Amount::Cpu { percent } => one(Resource::Cpu, u64::from(*percent)),
            Amount::Memory { bytes } => one(Resource::Memory, *bytes),
            Amount::Pids { max } => one(Resource::Pids, *max),
            Amount::Files { max } => one(Resource::Files, *max),
            Amount::Io { rates } => {
                let direction = |verb: &Verb| if *verb == Verb::Read { Resource::IoRead } else { Resource::IoWrite };
                rates.iter().map(|(verb, rate)| (direction(verb), *rate)).collect()
            }
            Amount::Network { inbound: true, rate } => one(Resource::NetworkIn, *rate),
            Amount::Network { inbound: false, rate } => one(Resource::NetworkOut, *rate),
        }
    }
}
