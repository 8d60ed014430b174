//! What a kernel has that this build does not know, and what an image says about it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What to do about a kernel that has more than this build knows: `unknown_kernel` of `agent.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// Enforce what is known, and report the rest.
    #[default]
    Report,
    /// Do not load.
    Refuse,
}

/// What a kernel has that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Unknown {
    /// Hooks of the LSM interface.
    pub hooks: BTreeSet<String>,
    /// System calls.
    pub calls: BTreeSet<String>,
    /// Operations of io_uring.
    pub operations: BTreeSet<String>,
}

impl Unknown {
    /// Whether all is known.
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty() && self.calls.is_empty() && self.operations.is_empty()
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut join = "";
        for (what, names) in
            [("hooks", &self.hooks), ("system calls", &self.calls), ("io_uring operations", &self.operations)]
        {
            if !names.is_empty() {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                write!(f, "{join}{what} {}", names.join(", "))?;
                join = "; ";
            }
        }
        Ok(())
    }
}
