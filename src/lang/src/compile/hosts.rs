//! Which patterns of host names can match at once, and the automaton by which a machine finds which do.

use std::collections::BTreeSet;

use kiln_base::abi::hosts::{HostsInfo, MAX_HOSTS, MAX_STATES};

use super::CompileError;
use super::calls;
use super::gap::Gap;
use crate::automata::{Dfa, Limits, Nfa, Pattern, Subset};
use crate::policy::normal::{BlockKind, Policy, Selector, SelectorKey};

/// The hosts that a policy tells apart.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// By what; none where it tells none apart.
    pub(super) info: Option<HostsInfo>,
    /// The sets of patterns that match at once, the empty one left out: the n-th tables from 1 are of the n-th.
    pub(super) sets: Vec<BTreeSet<String>>,
}

fn pattern(selector: &Selector) -> Option<&String> {
    (selector.key == SelectorKey::Host && selector.pattern.0 != "*").then_some(&selector.pattern.0)
}

/// Finds the hosts.
///
/// # Errors
/// If there are too many.
pub(super) fn of(policy: &Policy) -> Result<Hosts, CompileError> {
    let mut patterns = BTreeSet::new();
    for block in &policy.blocks {
        for text in block.subjects.iter().flatten().filter_map(pattern) {
            let origin = || format!("{} {}", block.kind, block.name);
            Pattern::parse(text).map_err(|error| CompileError::Glob { origin: origin(), error })?;
            patterns.insert(text.clone());
        }
    }
    if patterns.is_empty() {
        return Ok(Hosts::default());
    }
    let mut nfa = Nfa::new();
    let root = nfa.root();
    for (n, text) in patterns.iter().enumerate() {
        if let Ok(pattern) = Pattern::parse(text) {
            nfa.add(root, &pattern, n as u32);
        }
    }
    let mut sets: Vec<BTreeSet<String>> = Vec::new();
    let mut subset = Subset::new(&nfa, nfa.classes(), Limits { states: MAX_STATES, ..Limits::default() });
    subset.start(&[root], |ids| {
        let set: BTreeSet<String> =
            patterns.iter().enumerate().filter(|(n, _)| ids.contains(&(*n as u32))).map(|(_, p)| p.clone()).collect();
        let known = sets.iter().position(|s| *s == set);
        let at = known.unwrap_or_else(|| {
            // Past the limit the number does not matter.
            if sets.len() < MAX_HOSTS {
                sets.push(set);
            }
            sets.len() - 1
        });
        at as u32 + 1
    })?;
    if sets.len() >= MAX_HOSTS {
        return Err(CompileError::Hosts(MAX_HOSTS));
    }
    if sets.is_empty() {
        return Ok(Hosts::default());
    }
    let dfa = subset.finish();
    // Sets in an order of their own, whatever the automaton's is.
    let mut order: Vec<usize> = (0..sets.len()).collect();
    order.sort_by_key(|n| &sets[*n]);
    let place = |accept: u32| order.iter().position(|n| *n + 1 == accept as usize).map_or(0, |at| at as u32 + 1);
    let info = info(&dfa.map_accepts(place));
    Ok(Hosts { info: Some(info), sets: order.iter().map(|n| sets[*n].clone()).collect() })
}

/// States in the order in which they are come to, so that the start is 1.
fn info(dfa: &Dfa) -> HostsInfo {
    let classes = dfa.classes().len();
    let mut order = vec![0, dfa.starts()[0]];
    let mut rows = vec![vec![0; classes]];
    while rows.len() < order.len() {
        let state = order[rows.len()];
        let row = (0..classes).map(|class| {
            let next = dfa.next(state, class as u8);
            let known = order.iter().position(|s| *s == next);
            known.unwrap_or_else(|| {
                order.push(next);
                order.len() - 1
            }) as u32
        });
        rows.push(row.collect());
    }
    let tables = order.iter().map(|state| dfa.accept(*state)).collect();
    HostsInfo { class: dfa.classes().map().to_vec(), rows, tables }
}

/// systemd gives a unit one filter of system calls, whatever the host is called.
pub(super) fn gaps(policy: &Policy) -> Vec<Gap> {
    if !policy.blocks.iter().any(calls::speaks) {
        return Vec::new();
    }
    // A line with a host and an image outranks one with the same unit, so that it takes a profile away on some hosts only.
    let takes = |line: &Vec<Selector>| {
        line.iter().any(|s| pattern(s).is_some()) && line.iter().any(|s| s.key == SelectorKey::Image)
    };
    let profiles = policy.blocks.iter().filter(|b| b.kind == BlockKind::Profile);
    let found = profiles.filter(|b| b.subjects.iter().any(takes));
    let gap = |block| {
        let why = "a unit has one filter of system calls on all hosts, and this line can take it away on some";
        Gap::of_block(block, why.to_owned(), "write the line without `host`, or without `image`".to_owned())
    };
    found.map(gap).collect()
}
