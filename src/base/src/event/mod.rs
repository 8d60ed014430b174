//! The violation wire type that agent, gate and POS share.

pub mod clock;
mod evidence;
mod kernel;

pub use evidence::{Evidence, Link, Program, Sentinel};
pub use kernel::{EventError, EventObject, KernelEvent, Reason, RuleText, Verdict};
use serde::{Deserialize, Serialize};

/// One violation, observation or attachment, as JSON in the journal and to the POS. Absent fields are omitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Always `kiln.violation.v1`.
    pub schema: String,
    /// RFC 3339, UTC, nanoseconds.
    pub time: String,
    /// Sequence number of this agent's boot, for duplicates.
    pub seq: u64,
    /// `denied`, `would_deny`, `watched` or `attached`.
    pub verdict: String,
    /// Name of the deciding block.
    pub profile: String,
    /// `profile` or `guard`.
    pub block_kind: String,
    /// The deciding rule's text, or why there is none.
    pub rule: String,
    /// The rule's references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// The verb.
    pub verb: String,
    /// Path, `tcp:10.0.0.1:443`, capability or kernel operation.
    pub object: String,
    /// `enforce`, `audit`, `learn`.
    pub mode: String,
    /// low, medium, high, critical.
    pub severity: String,
    /// alert, throttle, quarantine, kill.
    pub action: String,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Parent process id.
    pub ppid: u32,
    /// Real user id.
    pub uid: u32,
    /// Command name (at most 15 bytes).
    pub comm: String,
    /// Start of the process, nanoseconds after boot: with `pid` its identity.
    pub start_time_ns: u64,
    /// cgroup id.
    pub cgroup_id: u64,
    /// The serial of the policy that decided.
    pub generation: u64,
    /// The subject's key: profile and guards.
    pub subject: String,
}
