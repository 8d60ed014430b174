//! The rules of all blocks under one numbering, which outcomes and metadata share.

use kiln_base::abi::metadata::RuleInfo;
use kiln_base::model::{Outcome, VerbSet};

use super::lines::{Line, clauses};
use super::users::Selectors;
use crate::policy::normal::{Block, BlockKind, Condition, Effect, Object, Policy};

/// A rule, or the default of a profile.
pub(super) struct Entry<'a> {
    /// Index of its block.
    pub(super) block: usize,
    /// What it does; a default denies.
    pub(super) effect: Effect,
    /// What it is about; none for a default.
    pub(super) object: Option<&'a Object>,
    /// Its own outcome.
    pub(super) outcome: Outcome,
    /// The verbs it speaks of.
    pub(super) verbs: VerbSet,
    /// The windows that must all be open, bit n for the n-th of the policy.
    pub(super) windows: u64,
    /// The selectors of users that must all match.
    pub(super) users: u64,
}

/// All rules of a policy.
pub(super) struct Rules<'a> {
    pub(super) blocks: &'a [Block],
    /// In the order of their numbers.
    pub(super) entries: Vec<Entry<'a>>,
    /// Per block the number of its default, if it is a profile.
    pub(super) defaults: Vec<Option<u32>>,
    /// Per block the number of its first rule.
    pub(super) first: Vec<u32>,
    /// Per block the window of its `active during`, as a bit.
    pub(super) active: Vec<Option<u64>>,
    /// Per block the sets of selectors of users one of which must match for it to bind; none: it binds every user.
    pub(super) users: Vec<Vec<u64>>,
}

impl<'a> Rules<'a> {
    pub(super) fn of(policy: &'a Policy, selectors: &Selectors, lines: &[Vec<Line>]) -> Rules<'a> {
        let bit = |name: &String| policy.windows.keys().position(|w| w == name).map_or(0, |n| 1u64 << (n & 63));
        let active = policy.blocks.iter().map(|b| b.active.as_ref().map(|a| bit(&a.window))).collect();
        let users =
            (0..policy.blocks.len()).map(|n| lines.get(n).map_or_else(Vec::new, |lines| clauses(lines))).collect();
        let (entries, defaults, first) = (Vec::new(), Vec::new(), Vec::new());
        let mut rules = Rules { blocks: &policy.blocks, entries, defaults, first, active, users };
        let during = |condition: &Condition| match condition {
            Condition::During(window) => bit(window),
            Condition::By(_) => 0,
        };
        let by = |condition: &Condition| match condition {
            Condition::During(_) => 0,
            Condition::By(line) => selectors.bits(line),
        };
        for (n, block) in policy.blocks.iter().enumerate() {
            rules.first.push(rules.entries.len() as u32);
            for rule in &block.rules {
                rules.entries.push(Entry {
                    block: n,
                    effect: rule.effect,
                    object: Some(&rule.object),
                    outcome: rule.outcome,
                    verbs: verbs(&rule.object),
                    windows: rule.conditions.iter().fold(0, |all, c| all | during(c)),
                    users: rule.conditions.iter().fold(0, |all, c| all | by(c)),
                });
            }
            rules.defaults.push((block.kind == BlockKind::Profile).then_some(rules.entries.len() as u32));
            if block.kind == BlockKind::Profile {
                rules.entries.push(Entry {
                    block: n,
                    effect: Effect::Deny,
                    object: None,
                    outcome: Outcome::default(),
                    verbs: block.governs,
                    windows: 0,
                    users: 0,
                });
            }
        }
        rules
    }

    /// The numbers of the rules of a block, its default left out.
    pub(super) fn of_block(&self, block: usize) -> impl Iterator<Item = (u32, &Entry<'a>)> {
        let first = self.first[block];
        let n = self.blocks[block].rules.len();
        self.entries[first as usize..][..n].iter().enumerate().map(move |(i, e)| (first + i as u32, e))
    }

    /// What the numbers mean.
    pub(super) fn describe(&self) -> Vec<RuleInfo> {
        let mut infos = Vec::with_capacity(self.entries.len());
        for (n, block) in self.blocks.iter().enumerate() {
            infos.extend(block.rules.iter().map(|rule| RuleInfo {
                block: n as u32,
                text: rule.text.clone(),
                because: rule.because.clone(),
                origin: rule.origin.clone(),
            }));
            if self.defaults[n].is_some() {
                infos.push(RuleInfo {
                    block: n as u32,
                    text: format!("no rule of profile {} permits it", block.name),
                    because: Vec::new(),
                    origin: String::new(),
                });
            }
        }
        infos
    }
}

/// The verbs of an object.
pub(super) fn verbs(object: &Object) -> VerbSet {
    use kiln_base::model::Verb;
    match object {
        Object::File { verbs, .. } => verbs.intersection(VerbSet::FILE),
        Object::Net { verbs, .. } | Object::Unix { verbs, .. } => verbs.intersection(VerbSet::NETWORK),
        Object::Capability { .. } => [Verb::Capability].into_iter().collect(),
        Object::Kernel { .. } => [Verb::Kernel].into_iter().collect(),
        Object::Syscall { .. } => [Verb::Syscall].into_iter().collect(),
    }
}
