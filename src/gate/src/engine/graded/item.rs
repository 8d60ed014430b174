//! One event on its way, and what becomes of it.

use super::terms::Terms;
use crate::engine::event::Source;
use crate::engine::{Action, Applied, Decision, Span, State};

/// From this suspicion or load on, a process is PRIMED.
pub const PRIMED: f32 = 0.35;
/// From here on it meets friction.
pub const FRICTION: f32 = 0.40;
/// From here on it is INFLAMED.
pub const INFLAMED: f32 = 0.70;
/// From here on it is NECROTIC.
pub const NECROTIC: f32 = 0.90;

/// How surely the process is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// By pid and start time, or by the source's unique name.
    Exact,
    /// By pid alone: a reused pid of the same name would be taken for it.
    Pid,
    /// By host, container, name, lineage and user: the source gives no pid.
    Lineage,
}

impl Identity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Identity::Exact => "exact",
            Identity::Pid => "pid",
            Identity::Lineage => "lineage",
        }
    }
}

/// One event on its way.
#[derive(Debug)]
pub struct Item {
    pub(super) source: Source,
    pub(super) time: Option<i64>,
    pub(super) host: Span,
    pub(super) pid: u32,
    pub(super) start: Option<u64>,
    pub(super) name: Span,
    pub(super) operation: Span,
    pub(super) target: Span,
    pub(super) rule: Span,
    pub(super) priority: Span,
    pub(super) key: Span,
    pub(super) key_hash: u128,
    pub(super) parent_hash: Option<u128>,
    pub(super) tissue_hash: u128,
    pub(super) habit: u16,
    pub(super) identity: Identity,
    /// Whether its tissue is a container or a subject, and not the whole host.
    pub(super) contained: bool,
    pub(super) exited: bool,
    pub(super) event: Span,
    pub(super) terms: Terms,
    pub(super) outcome: Outcome,
    pub(super) applied: Option<Box<Applied>>,
}

/// What the memory adds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) suspicion: f32,
    pub(super) signal: f32,
    pub(super) before: f32,
    pub(super) now: f32,
    pub(super) tissue: f32,
    pub(super) state: State,
    pub(super) decision: Decision,
    pub(super) action: Action,
    pub(super) suppressed: bool,
    pub(super) time: i64,
}

impl Outcome {
    pub(super) const UNSETTLED: Outcome = Outcome {
        suspicion: 0.0,
        signal: 0.0,
        before: 0.0,
        now: 0.0,
        tissue: 0.0,
        state: State::Healthy,
        decision: Decision::Allow,
        action: Action::Allow,
        suppressed: false,
        time: 0,
    };
}
