//! What the evaluator answers.

use kiln_base::model::{Action, Severity};

use super::{Atom, Attachment};

/// A rule by its places in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleRef {
    /// The block.
    pub block: usize,
    /// The rule in the block.
    pub rule: usize,
}

/// Why a block refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// This `deny`.
    Rule(usize),
    /// No `allow` matches, and the profile governs the class.
    Default,
    /// The profile is outside its `active during`.
    Closed,
}

/// A refusal and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The block.
    pub block: usize,
    /// Why.
    pub cause: Cause,
    /// How bad.
    pub severity: Severity,
    /// What follows.
    pub action: Action,
}

/// The verdict on one atom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// By enforcing blocks: any of them denies.
    pub refusals: Vec<Refusal>,
    /// By blocks that audit or learn.
    pub would: Vec<Refusal>,
    /// The `watch` rules that match.
    pub watched: Vec<RuleRef>,
    /// The first `allow` of the profile, if the profile permits by one.
    pub permits: Vec<RuleRef>,
    /// The profile to switch to, if an exec is permitted with `as`.
    pub switch: Option<String>,
}

impl Verdict {
    /// Whether the atom passes.
    pub fn allowed(&self) -> bool {
        self.refusals.is_empty()
    }

    /// The refusal that decides: the first of the highest severity, then action.
    pub fn deciding(&self) -> Option<&Refusal> {
        first_highest(&self.refusals)
    }

    /// The same among those that would refuse.
    pub fn deciding_would(&self) -> Option<&Refusal> {
        first_highest(&self.would)
    }

    /// The highest severity and the highest action of all refusals, if there is one.
    pub fn outcome(&self) -> Option<(Severity, Action)> {
        let severity = self.refusals.iter().map(|r| r.severity).max()?;
        let action = self.refusals.iter().map(|r| r.action).max()?;
        Some((severity, action))
    }
}

fn first_highest(refusals: &[Refusal]) -> Option<&Refusal> {
    refusals.iter().rev().max_by_key(|r| (r.severity, r.action))
}

/// The answer on an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Under which blocks the task falls.
    pub attachment: Attachment,
    /// Each atom with its verdict.
    pub atoms: Vec<(Atom, Verdict)>,
}

impl Answer {
    /// Whether all atoms pass.
    pub fn allowed(&self) -> bool {
        self.atoms.iter().all(|(_, verdict)| verdict.allowed())
    }
}
