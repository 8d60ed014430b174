//! Why a rule is there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of source a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Because {
    /// What kind of source it is.
    pub kind: RefKind,
    /// Where in the source.
    pub text: String,
}

impl Because {
    /// The `because` of a rule as PDL has it, with a space before it; empty where there is no reference.
    pub fn clause(refs: &[Because]) -> String {
        if refs.is_empty() {
            return String::new();
        }
        let list: Vec<String> = refs.iter().map(|r| format!("{} {}", r.kind.name(), escaped(&r.text))).collect();
        format!(" because {}", list.join(", "))
    }
}

/// A text in quotes.
fn escaped(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind.name(), self.text)
    }
}
