//! No task may match two profiles equally well.

use std::rc::Rc;

use crate::pdl::{Code, Diagnostic, Diagnostics};

use super::super::glob::{Matcher, Witness, witness};
use super::super::normal::{Block, BlockKind, Policy, Selector, SelectorKey};
use super::super::resolve::BlockPlaces;
use super::patterns::Patterns;

/// A `subject` line of a profile.
struct Line<'p> {
    block: usize,
    line: usize,
    selectors: &'p [Selector],
    top: SelectorKey,
    /// What every match of the top selector begins with; a zero byte ends a text that is spelled out.
    prefix: Vec<u8>,
}

/// Says which profiles overlap within one selector key.
pub(super) fn overlaps(policy: &Policy, places: &[BlockPlaces], patterns: &mut Patterns, found: &mut Diagnostics) {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (block, b) in policy.blocks.iter().enumerate().filter(|(_, b)| b.kind == BlockKind::Profile) {
        for (line, selectors) in b.subjects.iter().enumerate() {
            let Some(first) = selectors.iter().min_by_key(|s| s.key) else { continue };
            let Some(matcher) = patterns.get(&first.pattern.0) else { continue };
            let mut prefix = matcher.literal_prefix().to_vec();
            prefix.extend(matcher.literal().map(|_| 0));
            lines.push(Line { block, line, selectors, top: first.key, prefix });
        }
    }
    // Two patterns can meet only if one's beginning begins the other's. In this order those stand together.
    lines.sort_by(|a, b| (a.top, &a.prefix, a.block, a.line).cmp(&(b.top, &b.prefix, b.block, b.line)));
    for (n, a) in lines.iter().enumerate() {
        let near = lines[n + 1..].iter().take_while(|b| b.top == a.top && b.prefix.starts_with(&a.prefix));
        for b in near.filter(|b| b.block != a.block) {
            if !patterns.budget.spend(64) {
                return;
            }
            if let Some(example) = meet(a.selectors, b.selectors, a.top, patterns) {
                let (first, second) = if (a.block, a.line) < (b.block, b.line) { (a, b) } else { (b, a) };
                report(policy, places, first, second, &example, found);
            }
        }
    }
}

/// A text of the top key that both lines match, if some task can match both.
fn meet(a: &[Selector], b: &[Selector], top: SelectorKey, patterns: &mut Patterns) -> Option<Witness> {
    let mut example = None;
    let mut keys: Vec<SelectorKey> = a.iter().map(|s| s.key).filter(|k| b.iter().any(|s| s.key == *k)).collect();
    keys.dedup();
    for key in keys {
        // A task has several labels, so two label selectors never exclude each other.
        if key == SelectorKey::Label && key != top {
            continue;
        }
        let both = a.iter().chain(b).filter(|s| s.key == key);
        let matchers: Vec<Rc<Matcher>> = both.filter_map(|s| patterns.get(&s.pattern.0)).collect();
        let refs: Vec<&Matcher> = matchers.iter().map(Rc::as_ref).collect();
        let found = witness(&refs, &[], key == SelectorKey::Exec, &mut patterns.budget);
        if key == SelectorKey::Label {
            example = Some(found);
        } else if !found.possible() {
            return None;
        } else if key == top {
            example = Some(found);
        }
    }
    example
}

fn report(
    policy: &Policy,
    places: &[BlockPlaces],
    first: &Line<'_>,
    second: &Line<'_>,
    example: &Witness,
    found: &mut Diagnostics,
) {
    let name = |line: &Line<'_>| policy.blocks[line.block].name.clone();
    let place = |line: &Line<'_>| places[line.block].subjects.get(line.line).cloned();
    let (Some(here), Some(there)) = (place(second), place(first)) else { return };
    let key = first.top.name();
    let why = match example.shown().filter(|t| !t.is_empty()) {
        Some(text) => format!("{key} \"{text}\" matches both"),
        None => format!("the same {key} can match both"),
    };
    let message = format!("the profiles `{}` and `{}` can match the same task", name(first), name(second));
    found.push(
        Diagnostic::error(Code::SubjectOverlap, here.file, here.span, message)
            .because(why)
            .mend("make the patterns disjoint, merge the profiles, or select one by a more specific key (exec > image > unit > label > user > host)")
            .see(there.file, there.span, format!("`{}` matches it too", name(first))),
    );
}

/// Whether no machine can have both blocks, because all their lines name hosts and none in common.
pub(super) fn hosts_disjoint(a: &Block, b: &Block, patterns: &mut Patterns) -> bool {
    let host = |line: &[Selector]| line.iter().find(|s| s.key == SelectorKey::Host).map(|s| s.pattern.0.clone());
    a.subjects.iter().all(|la| {
        b.subjects.iter().all(|lb| {
            let (Some(ha), Some(hb)) = (host(la), host(lb)) else { return false };
            let (Some(ma), Some(mb)) = (patterns.get(&ha), patterns.get(&hb)) else { return false };
            !witness(&[&ma, &mb], &[], false, &mut patterns.budget).possible()
        })
    })
}
