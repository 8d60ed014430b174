//! The violation wire type that agent, gate and POS share.

pub mod clock;
mod evidence;
mod kernel;
mod response;

pub use clock::rfc3339;
pub use evidence::{Evidence, Link, Program, Sentinel};
pub use kernel::{EventError, EventObject, KernelEvent, Reason, RuleText, escape};
pub use response::{Phase, Response};

use serde::{Deserialize, Serialize};

pub use crate::model::Verdict;
use crate::model::{Action, BlockKind, EventMode, Severity, Verb, Word};

/// One violation, observation or attachment, as JSON in the journal and to the POS. Absent fields are omitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Violation {
    /// Always `kiln.violation.v1`.
    pub schema: String,
    /// RFC 3339, UTC, nanoseconds.
    pub time: String,
    /// Sequence number of this agent's boot, for duplicates.
    pub seq: u64,
    /// What became of the request.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::model::word_schema::<Verdict>))]
    pub verdict: Word<Verdict>,
    /// Name of the deciding block.
    pub profile: String,
    /// That block's kind.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::model::word_schema::<BlockKind>))]
    pub block_kind: Word<BlockKind>,
    /// The deciding rule's text, or why there is none.
    pub rule: String,
    /// The rule's references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// The verb.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::model::word_schema::<Verb>))]
    pub verb: Word<Verb>,
    /// Path, `tcp:10.0.0.1:443`, capability or kernel operation.
    pub object: String,
    /// Under what it is reported.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::model::word_schema::<EventMode>))]
    pub mode: Word<EventMode>,
    /// How bad it is.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::model::word_schema::<Severity>))]
    pub severity: Word<Severity>,
    /// What follows.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::model::word_schema::<Action>))]
    pub action: Word<Action>,
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
    /// The systemd unit in whose cgroup the process is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Its program, if it ran still when the event was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
}
