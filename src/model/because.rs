//! Why a rule is there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of source a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "build", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefKind {
    /// A line of a manifest: `nginx.service:14`.
    Manifest,
    /// A control of a standard: `nist-800-53/CM-7`.
    Control,
    /// A recorded run.
    Trace,
    /// A ticket of the user's tracker.
    Ticket,
}

impl RefKind {
    /// The PDL keyword.
    pub const fn name(self) -> &'static str {
        match self {
            RefKind::Manifest => "manifest",
            RefKind::Control => "control",
            RefKind::Trace => "trace",
            RefKind::Ticket => "ticket",
        }
    }
}

/// One reference of a `because`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "build", derive(schemars::JsonSchema))]
pub struct Because {
    /// What kind of source it is.
    pub kind: RefKind,
    /// Where in the source.
    pub text: String,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind.name(), self.text)
    }
}
