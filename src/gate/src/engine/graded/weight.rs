//! One weight, and what makes it: classes of evidence, reasons, checks.

use super::kinds::{self, Kind};

/// Kinds of evidence, as bits. Roles excuse them, and the harshest action depends on them.
pub(super) type Classes = u16;

const CLASSES: [&str; 14] = [
    "impact",
    "escape",
    "memory",
    "log",
    "module",
    "privilege",
    "network",
    "credential",
    "persistence",
    "shell",
    "drift",
    "binary",
    "namespace",
    "collection",
];

/// What is gathered, and by what it leaves: the two ends of a theft.
pub(super) const SECRETS: Classes = 1 << 7;
pub(super) const GATHERED: Classes = SECRETS | 1 << 13;
pub(super) const SENT: Classes = 1 << 6;

/// Evidence of what cannot be undone or studied at leisure: the process is killed, not kept.
pub(super) const LETHAL: Classes = 0b1_1111;

/// The weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Not the expected TOML.
    #[error("the weights are not valid: {0}")]
    Syntax(String),
    /// A class that is not known.
    #[error("the weights name the class {0:?}; known are {CLASSES:?}")]
    Class(String),
    /// A weight that is not in [0, cap].
    #[error("{0:?} weighs {1}, which is not between 0 and the cap")]
    Weight(String, f32),
    /// There are more reasons than the memory can tell apart.
    #[error("there are more than {} reasons for evidence", kinds::REASONS)]
    Kinds,
    /// The patterns are too many to search for at once.
    #[error("the patterns cannot be compiled: {0}")]
    Patterns(#[from] aho_corasick::BuildError),
}

/// A weight, its classes and the index of its reason.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weight {
    pub weight: f32,
    pub classes: Classes,
    pub because: u16,
    /// What makes it the same evidence when it comes again.
    pub kind: Kind,
    /// Whether it counts in full beside other evidence of its classes.
    pub independent: bool,
    /// Whether what the rule brings along counts less.
    pub noisy: bool,
}

/// Reasons and checks while compiling.
pub(super) struct Compiler {
    pub(super) cap: f32,
    pub(super) reasons: Vec<String>,
    /// Reasons that are kinds of evidence, by their place.
    pub(super) kinds: Vec<u16>,
}

impl Compiler {
    pub(super) fn reason(&mut self, text: &str) -> u16 {
        let known = self.reasons.iter().position(|reason| reason == text);
        known.unwrap_or_else(|| {
            self.reasons.push(text.to_owned());
            self.reasons.len() - 1
        }) as u16
    }

    pub(super) fn weight(&mut self, weight: f32, classes: &[String], because: &str) -> Result<Weight, WeightsError> {
        if !(0.0..=self.cap).contains(&weight) {
            return Err(WeightsError::Weight(because.to_owned(), weight));
        }
        let because = self.reason(because);
        let known = self.kinds.iter().position(|reason| *reason == because);
        let place = known.unwrap_or_else(|| {
            self.kinds.push(because);
            self.kinds.len() - 1
        });
        let kind = Kind::of_reason(place).ok_or(WeightsError::Kinds)?;
        Ok(Weight { weight, classes: classes_of(classes)?, because, kind, ..Weight::default() })
    }
}

pub(super) fn bytes(list: &[String]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.clone().into_bytes()).collect()
}

pub(super) fn classes_of(names: &[String]) -> Result<Classes, WeightsError> {
    names.iter().try_fold(0, |bits, name| {
        let known = CLASSES.iter().position(|class| class == name);
        Ok(bits | 1 << known.ok_or_else(|| WeightsError::Class(name.clone()))?)
    })
}

/// Whether a program is this one, or a version of it: `python3.11`.
pub(super) fn versioned(program: &[u8], name: &[u8]) -> bool {
    program.strip_prefix(name).is_some_and(|rest| rest.iter().all(|b| b.is_ascii_digit() || *b == b'.'))
}
