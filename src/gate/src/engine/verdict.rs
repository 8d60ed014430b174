//! The words of a verdict.

use serde::{Deserialize, Serialize};

/// What the evidence of one event asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Decision {
    /// Nothing.
    Allow,
    /// Keep it apart.
    Quarantine,
    /// Ask a person.
    Escalate,
    /// Refuse.
    Deny,
}

impl Decision {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Allow => "ALLOW",
            Decision::Quarantine => "QUARANTINE",
            Decision::Escalate => "ESCALATE",
            Decision::Deny => "DENY",
        }
    }
}

/// How a process is, in the immune system's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Normal.
    Healthy,
    /// Watched.
    Primed,
    /// Slowed down.
    Inflamed,
    /// Cut off.
    Necrotic,
}

impl State {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Healthy => "HEALTHY",
            State::Primed => "PRIMED",
            State::Inflamed => "INFLAMED",
            State::Necrotic => "NECROTIC",
        }
    }
}

/// What the kernel is to do with the process, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// Nothing.
    Allow,
    /// Less processor time.
    Throttle,
    /// Frozen, network cut, evidence kept.
    Quarantine,
    /// Frozen and kept whole for study.
    Honeypot,
    /// Ended.
    Kill,
}

impl Action {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Allow => "ALLOW",
            Action::Throttle => "THROTTLE",
            Action::Quarantine => "QUARANTINE",
            Action::Honeypot => "HONEYPOT",
            Action::Kill => "KILL",
        }
    }
}
