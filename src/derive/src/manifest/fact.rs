//! What facts consist of: paths with their origins, and notes where one is missing.

use serde::Serialize;

use super::origin::Origin;

/// A path of the image, links resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PathFact {
    /// Absolute and normalised.
    pub path: String,
    /// Whether `path` is a PDL glob already; otherwise it is literal.
    pub pattern: bool,
    /// What names it.
    pub origin: Origin,
}

impl PathFact {
    /// A literal path.
    pub fn new(path: impl Into<String>, origin: Origin) -> PathFact {
        PathFact { path: path.into(), pattern: false, origin }
    }
    /// The path as a PDL glob that matches it alone, or what its pattern matches.
    pub fn glob(&self) -> String {
        if self.pattern { self.path.clone() } else { PathFact::quote(&self.path) }
    }
    /// Quotes the characters that mean something in a PDL glob.
    pub fn quote(path: &str) -> String {
        kiln_base::model::quote_pattern(path)
    }
}

/// Something that could not be read or understood, for the person who reviews the policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// Where.
    pub origin: Origin,
    /// What it means for the policy.
    pub text: String,
}

impl Note {
    /// A note.
    pub fn new(origin: Origin, text: impl Into<String>) -> Note {
        Note { origin, text: text.into() }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.origin, self.text)
    }
}
