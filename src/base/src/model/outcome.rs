//! Kinds and modes of a block, verdicts, and outcomes of a violation. The numbers are those of `bpf/include/abi.h`,
//! where it has them.

use serde::{Deserialize, Serialize};

use super::word::words;

words! {
    /// Whether a block permits by allowing or only refuses.
    BlockKind {
        /// Default deny over what it governs.
        Profile = 0 "profile",
        /// Deny only.
        Guard = 1 "guard",
    }
}
words! {
    /// What became of a request (`enum kiln_verdict`).
    Verdict {
        /// Refused.
        Denied = 0 "denied",
        /// Permitted, though an enforcing block would have refused.
        WouldDeny = 1 "would_deny",
        /// Permitted and observed.
        Watched = 2 "watched",
        /// A label was given to a task.
        Attached = 3 "attached",
    }
}
words! {
    /// What a block does with a refusal.
    Mode {
        /// Refuse.
        Enforce = 0 "enforce",
        /// Permit and report what would be refused.
        Audit = 1 "audit",
        /// As audit, and record the request as a candidate rule.
        Learn = 2 "learn",
    }
}
words! {
    /// Under what an event is reported: its block's mode, or a rule that only watches.
    EventMode {
        /// [`Mode::Enforce`].
        Enforce = 0 "enforce",
        /// [`Mode::Audit`].
        Audit = 1 "audit",
        /// [`Mode::Learn`].
        Learn = 2 "learn",
        /// A `watch` rule's.
        Watch = 3 "watch",
    }
}

impl From<Option<Mode>> for EventMode {
    fn from(mode: Option<Mode>) -> EventMode {
        match mode {
            Some(Mode::Enforce) => EventMode::Enforce,
            Some(Mode::Audit) => EventMode::Audit,
            Some(Mode::Learn) => EventMode::Learn,
            None => EventMode::Watch,
        }
    }
}

words! {
    /// How bad a violation is.
    Severity {
        /// Informative.
        Low = 0 "low",
        /// The default.
        Medium = 1 "medium",
        /// Needs attention soon.
        High = 2 "high",
        /// Needs attention now.
        Critical = 3 "critical",
    }
}
words! {
    /// What follows a violation beside the refusal, weakest first.
    Action {
        /// Report it.
        Alert = 0 "alert",
        /// Slow the subject down.
        Throttle = 1 "throttle",
        /// Cut the subject off.
        Quarantine = 2 "quarantine",
        /// Kill the process.
        Kill = 3 "kill",
    }
}

/// `severity … then …`; what is absent falls back to the block's `on violation`, then to medium and alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Outcome {
    /// How bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
}
