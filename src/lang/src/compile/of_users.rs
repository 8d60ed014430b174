//! Blocks of some users only: what of them cannot be had.

use std::collections::BTreeSet;

use super::gap::{Gap, names_slices};
use super::lines::{Line, clauses, held};
use crate::policy::normal::{Block, BlockKind, Object, Policy, Rule, Selector, SelectorKey};

/// What of a policy hangs on users and cannot be had.
pub(super) fn find(policy: &Policy, lines: &[Vec<Line>], gaps: &mut Vec<Gap>) {
    for (block, lines) in policy.blocks.iter().zip(lines) {
        joined(block, lines, gaps);
        if clauses(lines).is_empty() {
            continue;
        }
        if block.kind == BlockKind::Profile {
            profile(policy, block, gaps);
        }
    }
}

/// A block binds by what it attaches to, and by the user: each of the one with each of the other.
fn joined(block: &Block, lines: &[Line], gaps: &mut Vec<Gap>) {
    let pairs: BTreeSet<_> = held(lines).map(|line| (&line.at, line.users)).collect();
    let places: BTreeSet<_> = pairs.iter().map(|(place, _)| place).collect();
    let users: BTreeSet<_> = pairs.iter().map(|(_, user)| user).collect();
    if pairs.len() != places.len() * users.len() {
        gaps.push(Gap::of_block(
            block,
            "its lines join some users with some units or programs and not with the others".to_owned(),
            "give each of its units and programs the same users, or write a block for each".to_owned(),
        ));
    }
}

/// A profile of some users comes and goes with the user: nothing else may hang on whether a task has it.
fn profile(policy: &Policy, block: &Block, gaps: &mut Vec<Gap>) {
    let to = |rule: &Rule| match &rule.object {
        Object::File { switch: Some(target), .. } => Some(target.clone()),
        _ => None,
    };
    if block.rules.iter().any(|rule| to(rule).is_some()) {
        gaps.push(Gap::of_block(
            block,
            "the kernel programs switch whichever user asks, and this profile is of some users only".to_owned(),
            "leave `user` out of its subject, and write `by user` in the rules that are for some users".to_owned(),
        ));
    }
    let units = block.subjects.iter().flatten().filter(|s| s.key == SelectorKey::Unit);
    for Selector { pattern, .. } in units.filter(|s| names_slices(&s.pattern.0)) {
        gaps.push(Gap::of_block(
            block,
            format!("`unit \"{}\"` names slices, too, whose units have profiles of their own", pattern.0),
            "name one kind of unit, as in `unit \"*.service\"`, where a profile is of some users only".to_owned(),
        ));
    }
    let others = policy.blocks.iter().filter(|b| b.kind == BlockKind::Profile);
    if let Some(other) =
        others.filter(|b| b.rules.iter().any(|r| to(r).as_ref() == Some(&block.name))).map(|b| &b.name).next()
    {
        gaps.push(Gap::of_block(
            block,
            format!("profile {other} switches to it, whichever user asks, and this profile is of some users only"),
            "leave `user` out of its subject, and write `by user` in the rules that are for some users".to_owned(),
        ));
    }
}
