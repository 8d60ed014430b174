//! The joint decision of a subject's blocks on an object, given which rules match it.

use std::collections::HashMap;

use kiln_base::abi::layout;
use kiln_base::model::{Action, Mode, Outcome, Severity, Verb, VerbSet};

use super::moment::Moment;
use super::rules::{Entry, Rules};
use crate::policy::normal::{BlockKind, Effect};

/// `mode` of an outcome that a watch rule gives.
const MODE_WATCH: u8 = 3;

/// What the blocks of a subject say about one verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    Allow,
    Watch(layout::Outcome),
    Would(layout::Outcome),
    Deny(layout::Outcome),
}

/// A block's refusal.
#[derive(Clone, Copy)]
struct Refusal {
    rule: u32,
    severity: Severity,
    action: Action,
    mode: Mode,
}

/// The blocks of a subject at a moment: guards outside their `active during`, and what does not bind the user, are not
/// among them.
pub(super) struct View<'a> {
    pub(super) rules: &'a Rules<'a>,
    pub(super) blocks: Vec<usize>,
    pub(super) moment: Moment,
}

impl<'a> View<'a> {
    pub(super) fn of(rules: &'a Rules<'a>, blocks: &[usize], moment: Moment) -> View<'a> {
        let gone = |b: &usize| rules.blocks[*b].kind == BlockKind::Guard && moment.closed(rules, *b);
        let there = |b: &usize| moment.binds(rules, *b) && !gone(b);
        View { rules, blocks: blocks.iter().copied().filter(there).collect(), moment }
    }

    /// Its guards alone.
    pub(super) fn guards(&self) -> View<'a> {
        let guard = |b: &usize| self.rules.blocks[*b].kind == BlockKind::Guard;
        View { blocks: self.blocks.iter().copied().filter(guard).collect(), ..*self }
    }

    /// The rules of the blocks that can match now, with their numbers.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &'a Entry<'a>)> {
        let (rules, moment) = (self.rules, self.moment);
        self.blocks.iter().flat_map(|b| rules.of_block(*b)).filter(move |(_, e)| moment.holds(e))
    }
}

/// The verdict on `verb` for the blocks of a subject, where `matched` are the numbers of the rules whose object
/// matches, in order. Rules that do not speak of the verb, or not now, are ignored.
pub(super) fn joint(view: &View<'_>, matched: &[u32], verb: Verb) -> Joint {
    joint_where(view, matched, verb, &|governs| governs.contains(verb))
}

/// The same, where a profile refuses the object by default if `governed` says so of what it governs.
pub(super) fn joint_where(
    View { rules, blocks, moment }: &View<'_>,
    matched: &[u32],
    verb: Verb,
    governed: &dyn Fn(VerbSet) -> bool,
) -> Joint {
    let speaks = |n: &&u32| {
        let entry = &rules.entries[**n as usize];
        entry.verbs.contains(verb) && moment.holds(entry)
    };
    let mut refusals: Vec<Refusal> = Vec::new();
    for block in blocks {
        let own = |effect: Effect| {
            matched.iter().filter(speaks).filter(move |n| {
                let e = &rules.entries[**n as usize];
                e.block == *block && e.effect == effect
            })
        };
        let b = &rules.blocks[*block];
        let governs = b.kind == BlockKind::Profile && governed(b.governs);
        if governs && moment.closed(rules, *block) {
            let own = Outcome { severity: None, action: b.active.as_ref().and_then(|a| a.otherwise) };
            refusals.extend(rules.defaults[*block].map(|n| refusal(rules, n, own, verb)));
            continue;
        }
        let denies = own(Effect::Deny).count();
        if denies > 0 {
            refusals.extend(own(Effect::Deny).map(|n| refusal(rules, *n, rules.entries[*n as usize].outcome, verb)));
        } else if governs && own(Effect::Allow).next().is_none() {
            refusals.extend(rules.defaults[*block].map(|n| refusal(rules, n, Outcome::default(), verb)));
        }
    }
    let of = |enforcing: bool| worst(refusals.iter().filter(|r| (r.mode == Mode::Enforce) == enforcing));
    if let Some(outcome) = of(true) {
        return Joint::Deny(outcome);
    }
    if let Some(outcome) = of(false) {
        return Joint::Would(outcome);
    }
    let watches = matched.iter().filter(speaks).filter(|n| {
        let e = &rules.entries[**n as usize];
        e.effect == Effect::Watch && blocks.contains(&e.block)
    });
    let severity = |n: &u32| rules.entries[*n as usize].outcome.severity.unwrap_or(Severity::Low);
    // The most severe; among equals the first.
    match watches.copied().reduce(|a, b| if severity(&b) > severity(&a) { b } else { a }) {
        Some(n) => Joint::Watch(layout::Outcome {
            rule: n,
            severity: severity(&n) as u8,
            action: Action::Alert as u8,
            mode: MODE_WATCH,
            reason: 0,
        }),
        None => Joint::Allow,
    }
}

fn refusal(rules: &Rules<'_>, rule: u32, own: Outcome, verb: Verb) -> Refusal {
    let entry = &rules.entries[rule as usize];
    let block = &rules.blocks[entry.block];
    let of_class = block.on_violation_of.get(&verb).copied().unwrap_or_default();
    let all = [own, of_class, block.on_violation];
    Refusal {
        rule,
        severity: all.iter().find_map(|o| o.severity).unwrap_or(Severity::Medium),
        action: all.iter().find_map(|o| o.action).unwrap_or(Action::Alert),
        mode: block.mode,
    }
}

/// The highest severity and the highest action; the rule is that of the worst refusal, among equals the first.
fn worst<'r>(refusals: impl Iterator<Item = &'r Refusal> + Clone) -> Option<layout::Outcome> {
    let severity = refusals.clone().map(|r| r.severity).max()?;
    let action = refusals.clone().map(|r| r.action).max()?;
    let rank = |r: &Refusal| (r.severity, r.action);
    let first = refusals.reduce(|a, b| if rank(b) > rank(a) { b } else { a })?;
    Some(layout::Outcome {
        rule: first.rule,
        severity: severity as u8,
        action: action as u8,
        mode: first.mode as u8,
        reason: 0,
    })
}

/// Decisions and outcomes, each kept once.
pub(super) struct Book {
    pub(super) decisions: Vec<layout::Decision>,
    decision_of: HashMap<layout::Decision, u32>,
    pub(super) outcomes: Vec<layout::Outcome>,
    outcome_of: HashMap<layout::Outcome, u32>,
    /// Lists of 64 and 32 outcomes, one behind the other.
    pub(super) refs: Vec<u32>,
    refs_of: HashMap<Vec<u32>, u32>,
}

impl Book {
    pub(super) fn new() -> Book {
        // Decision 0 permits everything and is never an accept: the same decision as an accept is another.
        Book {
            decisions: vec![layout::Decision::default()],
            decision_of: HashMap::new(),
            outcomes: Vec::new(),
            outcome_of: HashMap::new(),
            refs: Vec::new(),
            refs_of: HashMap::new(),
        }
    }

    fn outcome(&mut self, outcome: layout::Outcome) -> u32 {
        let next = self.outcomes.len() as u32;
        let index = *self.outcome_of.entry(outcome).or_insert(next);
        if index == next {
            self.outcomes.push(outcome);
        }
        index
    }

    /// The decision that says this about each verb; never 0.
    pub(super) fn decision(&mut self, verbs: VerbSet, say: impl Fn(Verb) -> Joint) -> u32 {
        let mut d = layout::Decision::default();
        for verb in verbs.iter() {
            let bit = verb as usize;
            let (mask, outcome) = match say(verb) {
                Joint::Allow => continue,
                Joint::Watch(o) => (&mut d.watch, o),
                Joint::Would(o) => (&mut d.would, o),
                Joint::Deny(o) => (&mut d.deny, o),
            };
            *mask |= 1 << bit;
            d.outcome[bit] = self.outcome(outcome);
        }
        let next = self.decisions.len() as u32;
        let index = *self.decision_of.entry(d).or_insert(next);
        if index == next {
            self.decisions.push(d);
        }
        index
    }

    /// Masks and the offset of the outcomes, for the bits of a list of `len`.
    pub(super) fn list(&mut self, len: u8, say: impl Fn(u8) -> Joint) -> List {
        let mut list = List::default();
        let mut refs = vec![0; usize::from(len)];
        for bit in 0..len {
            let (mask, outcome) = match say(bit) {
                Joint::Allow => continue,
                Joint::Watch(o) => (&mut list.watch, o),
                Joint::Would(o) => (&mut list.would, o),
                Joint::Deny(o) => (&mut list.deny, o),
            };
            *mask |= 1 << bit;
            refs[usize::from(bit)] = self.outcome(outcome);
        }
        if list.deny | list.would | list.watch != 0 {
            let next = self.refs.len() as u32;
            list.offset = *self.refs_of.entry(refs.clone()).or_insert(next);
            if list.offset == next {
                self.refs.extend(refs);
            }
        }
        list
    }
}

/// What a subject's bits are.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct List {
    pub(super) deny: u64,
    pub(super) would: u64,
    pub(super) watch: u64,
    pub(super) offset: u32,
}
