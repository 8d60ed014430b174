//! The checks that hold the metadata to the kernel part: what people and `kiln bake` read is what the kernel gets.
//!
//! They need no compiler, so the agent makes them at each load: units and programs, subjects and blocks by the
//! automata themselves; the texts of rules by the policy's text. That the policy's text is what was compiled is checked
//! where there is a compiler, before anything is signed.

use std::collections::{BTreeMap, BTreeSet};

use super::error::TablesError;
use super::kernel::Kernel;
use super::layout;
use super::metadata::{BlockInfo, HOST_KEY, Metadata, QUARANTINE, SENTINEL_KEY, SubjectInfo};
use crate::model::{Action, Because, BlockKind, cgroup_name, literal_of_pattern, template_of_pattern};

const HOST: u32 = 1;

pub(super) fn bind(kernel: &Kernel, metadata: &Metadata) -> Result<(), TablesError> {
    let blocks = blocks(metadata)?;
    for (subject, index) in metadata.subjects.iter().zip(1..) {
        described(kernel, &blocks, subject, index)?;
    }
    listed(metadata)?;
    for (what, kind) in [("unit", Selects::Unit), ("program", Selects::Program)] {
        reached(kernel, metadata, what, kind)?;
    }
    texts(metadata)?;
    windows(metadata)?;
    users(metadata)?;
    limits(kernel, metadata)
}

fn mismatch<T>(what: impl Into<String>) -> Result<T, TablesError> {
    Err(TablesError::Mismatch(what.into()))
}

/// The blocks by kind and name.
fn blocks(metadata: &Metadata) -> Result<BTreeMap<(BlockKind, &str), &BlockInfo>, TablesError> {
    let mut out = BTreeMap::new();
    for block in &metadata.blocks {
        if out.insert((block.kind, block.name.as_str()), block).is_some() {
            return mismatch(format!("two blocks are {} {}", block.kind, block.name));
        }
    }
    Ok(out)
}

/// A subject's key, place, flags and blocks agree.
fn described(
    kernel: &Kernel,
    blocks: &BTreeMap<(BlockKind, &str), &BlockInfo>,
    subject: &SubjectInfo,
    index: u32,
) -> Result<(), TablesError> {
    let wrong = |what: &str| mismatch(format!("subject `{}` {what}", subject.key));
    if subject.index != index {
        return wrong("is described in another place than its own");
    }
    let has_profile = kernel.subject(index).is_some_and(|s| s.flags & layout::S_PROFILE != 0);
    if subject.profile.is_some() != has_profile {
        return wrong("has a profile in the description or in the kernel part only");
    }
    if index == HOST + 1 {
        let alone = subject.key == SENTINEL_KEY && subject.guards.is_empty();
        return if alone { Ok(()) } else { wrong("stands in the sentinel's place") };
    }
    if subject.profile.as_deref().is_some_and(|p| !blocks.contains_key(&(BlockKind::Profile, p))) {
        return wrong("names a profile that is not there");
    }
    let mut own = Vec::new();
    for guard in &subject.guards {
        match blocks.get(&(BlockKind::Guard, guard.as_str())) {
            Some(block) if !block.host => own.push(guard.as_str()),
            Some(_) => {}
            None => return wrong("names a guard that is not there"),
        }
    }
    let everywhere = blocks.values().filter(|b| b.host).all(|b| subject.guards.contains(&b.name));
    let sorted = subject.guards.is_sorted_by(|a, b| a < b);
    let quarantine = if subject.quarantined() { QUARANTINE } else { "" };
    let key = format!("{}|{}{quarantine}", subject.profile.as_deref().unwrap_or_default(), own.join(","));
    if !everywhere || !sorted || key != subject.key || (index == HOST) != (key == HOST_KEY) {
        return wrong("is not the combination that its key says");
    }
    Ok(())
}

/// The list of units, by which drop-ins are written, is that of the blocks.
fn listed(metadata: &Metadata) -> Result<(), TablesError> {
    let of_blocks: BTreeSet<&String> = metadata.blocks.iter().flat_map(|b| &b.units).collect();
    if metadata.units.iter().eq(of_blocks) { Ok(()) } else { mismatch("the list of units is not that of the blocks") }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Selects {
    Unit,
    Program,
}

/// Every block that has selectors is come to by them, and no other is.
fn reached(kernel: &Kernel, metadata: &Metadata, what: &str, kind: Selects) -> Result<(), TablesError> {
    let host = kernel.subject(HOST).unwrap_or_default();
    let start = if kind == Selects::Unit { host.unit_start } else { host.exec_start };
    let mut comes_to = BTreeSet::new();
    for subject in accepts(kernel, start) {
        let Some(info) = metadata.subjects.get(subject as usize - 1) else { continue };
        comes_to.extend(info.profile.iter().map(|p| (BlockKind::Profile, p.as_str())));
        comes_to.extend(info.guards.iter().map(|g| (BlockKind::Guard, g.as_str())));
    }
    for block in &metadata.blocks {
        let selectors = if kind == Selects::Unit { &block.units } else { &block.exec };
        let come = comes_to.contains(&(block.kind, block.name.as_str()));
        if !block.host && come == selectors.is_empty() {
            let says = if come { "is attached by one, and its description has none" } else { "is attached by none" };
            return mismatch(format!("{what}s of {} {}: it {says}", block.kind, block.name));
        }
        for literal in selectors.iter().filter_map(|s| literal_of_pattern(s)) {
            let subject = match kind {
                Selects::Unit => kernel.after_unit(HOST, cgroup_name(&literal).as_bytes()),
                Selects::Program => kernel.after_exec(HOST, literal.as_bytes()),
            };
            let info = metadata.subjects.get(subject as usize - 1);
            let bound = info.is_some_and(|s| match block.kind {
                BlockKind::Profile => s.profile.as_ref() == Some(&block.name),
                BlockKind::Guard => s.guards.contains(&block.name),
            });
            if !bound {
                return mismatch(format!("{what} {literal} does not come to {} {}", block.kind, block.name));
            }
        }
    }
    Ok(())
}

/// All that an automaton accepts with.
fn accepts(kernel: &Kernel, start: u32) -> BTreeSet<u32> {
    let (mut seen, mut out, mut todo) = (BTreeSet::new(), BTreeSet::new(), vec![start]);
    let classes: BTreeSet<u8> = kernel.header.path_class.iter().copied().collect();
    while let Some(state) = todo.pop() {
        if state == 0 || !seen.insert(state) {
            continue;
        }
        out.extend(Some(kernel.accept(state)).filter(|a| *a != 0));
        todo.extend(classes.iter().map(|class| kernel.step(state, *class)));
    }
    out
}

/// The windows' texts stand in the policy's text, so that what is computed from them is what the policy says.
fn windows(metadata: &Metadata) -> Result<(), TablesError> {
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let source = squeeze(&metadata.source);
    for info in &metadata.windows {
        if !source.contains(&squeeze(&info.window.text(&info.name))) {
            return mismatch(format!("window {} does not stand in the policy's text", info.name));
        }
    }
    let names: BTreeSet<&String> = metadata.windows.iter().map(|w| &w.name).collect();
    if names.len() == metadata.windows.len() { Ok(()) } else { mismatch("two windows have one name") }
}

/// The selectors of users stand in the policy's text, each once, and a number means itself.
fn users(metadata: &Metadata) -> Result<(), TablesError> {
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let source = squeeze(&metadata.source);
    for info in &metadata.users {
        let pattern = &info.pattern;
        if !source.contains(&squeeze(&format!("user \"{pattern}\""))) {
            return mismatch(format!("user \"{pattern}\" does not stand in the policy's text"));
        }
        let itself = pattern.parse::<u32>().is_ok_and(|uid| info.uids != [uid]);
        if itself || info.uids.is_empty() || !info.uids.is_sorted_by(|a, b| a < b) {
            return mismatch(format!("user \"{pattern}\" is not who the description says"));
        }
    }
    let patterns: BTreeSet<&String> = metadata.users.iter().map(|u| &u.pattern).collect();
    if patterns.len() == metadata.users.len() { Ok(()) } else { mismatch("two selectors of users are one") }
}

/// The rules' texts stand in the policy's text, in their order.
fn texts(metadata: &Metadata) -> Result<(), TablesError> {
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let source = squeeze(&metadata.source);
    let mut at = 0;
    for (n, rule) in metadata.rules.iter().enumerate() {
        let block = metadata.blocks.get(rule.block as usize);
        let last = metadata.rules.get(n + 1).is_none_or(|next| next.block != rule.block);
        if last && block.is_some_and(|b| b.kind == BlockKind::Profile) {
            let wanted = block.map(|b| format!("no rule of profile {} permits it", b.name));
            if wanted.as_ref() != Some(&rule.text) || !rule.because.is_empty() {
                return mismatch(format!("rule {n} is not the default of its profile"));
            }
            continue;
        }
        let wanted = squeeze(&format!("{}{};", rule.text, Because::clause(&rule.because)));
        match source.get(at..).and_then(|rest| rest.find(&wanted)) {
            Some(found) => at += found + wanted.len(),
            None => return mismatch(format!("rule {n} does not stand in the policy's text: {}", rule.text)),
        }
    }
    Ok(())
}

/// The limits stand in the policy's text, in their order, and the programs for rates are attached where there are any.
fn limits(kernel: &Kernel, metadata: &Metadata) -> Result<(), TablesError> {
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let source = squeeze(&metadata.source);
    let mut at = 0;
    for (block, limit) in metadata.blocks.iter().flat_map(|block| block.limits.iter().map(move |limit| (block, limit)))
    {
        let text = limit.text();
        let wanted = squeeze(&format!("{text}{};", Because::clause(&limit.because)));
        match source.get(at..).and_then(|rest| rest.find(&wanted)) {
            Some(found) => at += found + wanted.len(),
            None => return mismatch(format!("a limit of {} does not stand in the policy's text: {text}", block.name)),
        }
        let none = limit.amounts.is_empty() || limit.amounts.values().any(|most| *most == 0);
        let named = |unit: &String| literal_of_pattern(unit).or_else(|| template_of_pattern(unit)).is_some();
        let known = limit.during.as_ref().is_none_or(|window| metadata.windows.iter().any(|w| w.name == *window));
        if !known {
            return mismatch(format!("a limit of {} has a window that is not described: {text}", block.name));
        }
        if none || block.host || block.units.is_empty() || !block.units.iter().all(named) {
            return mismatch(format!("a limit of {} is none of a unit: {text}", block.name));
        }
    }
    let outcomes = (0..kernel.header.n_outcomes).filter_map(|n| kernel.outcome(n));
    let throttles = metadata.limits_throttle() || outcomes.into_iter().any(|o| o.action == Action::Throttle as u8);
    if throttles && kernel.header.required_hooks_lo & layout::H_THROTTLE == 0 {
        return mismatch("a rule or limit throttles, and the programs for it would not be attached");
    }
    let amounts = metadata.blocks.iter().flat_map(|block| &block.limits).flat_map(|limit| limit.amounts.keys());
    let rates = amounts.into_iter().any(|resource| resource.is_network());
    if rates != (kernel.header.required_hooks_lo & layout::H_RATES != 0) {
        return mismatch("the kernel part and the description do not agree on network rates");
    }
    Ok(())
}
