//! What of a policy the kernel programs, or the kernel asked for, cannot enforce. Nothing of it is ever ignored.

use kiln_base::model::{Action, KernelOp, Verb, VerbSet};
use serde::{Deserialize, Serialize};

use super::KernelVersion;
use crate::policy::glob::{Budget, Matcher, witness};
use crate::policy::normal::{
    Addresses, Block, BlockKind, Condition, Effect, Object, Policy, Rule, Selector, SelectorKey,
};

/// A part of the policy that cannot be enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// `profile nginx`, `guard host_integrity`.
    pub block: String,
    /// The rule's text, if it is about a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Where it was written, `file:line`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Why it cannot be enforced.
    pub reason: String,
    /// What to write instead.
    pub mend: String,
}

impl Gap {
    pub(super) fn of_block(block: &Block, reason: String, mend: String) -> Gap {
        Gap { block: format!("{} {}", block.kind, block.name), rule: None, origin: None, reason, mend }
    }
    pub(super) fn of_rule(block: &Block, rule: &Rule, reason: impl Into<String>, mend: impl Into<String>) -> Gap {
        let gap = Gap::of_block(block, reason.into(), mend.into());
        Gap { rule: Some(rule.text.clone()), origin: Some(rule.origin.clone()), ..gap }
    }
}

/// Since which kernel the hooks for an operation are there.
fn since(op: KernelOp) -> KernelVersion {
    match op {
        // security_create_user_ns came with 6.1; the others are older.
        KernelOp::Userns => KernelVersion { major: 6, minor: 1 },
        _ => KernelVersion::BASELINE,
    }
}

/// All gaps, in the order of the policy.
pub(super) fn find(policy: &Policy, kernel: KernelVersion) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let quarantines = quarantines(policy);
    for block in &policy.blocks {
        subjects(block, &mut gaps);
        if quarantines {
            slices(block, &mut gaps);
        }
        governs(block, kernel, &mut gaps);
        schedule(policy, block, &mut gaps);
        for r in &block.rules {
            rule(policy, block, r, kernel, &mut gaps);
        }
    }
    gaps
}

/// Whether a line asks what an image is called or which labels its units have.
pub(super) fn asks_image(policy: &Policy) -> bool {
    let keys = policy.blocks.iter().flat_map(|b| b.subjects.iter().flatten()).map(|s| s.key);
    keys.into_iter().any(|key| matches!(key, SelectorKey::Image | SelectorKey::Label))
}

fn subjects(block: &Block, gaps: &mut Vec<Gap>) {
    let mut lines = 0;
    for selector in block.subjects.iter().flatten() {
        lines += 1;
        let Selector { key, pattern } = selector;
        if *key == SelectorKey::Unit && !names_units(&pattern.0) {
            gaps.push(Gap::of_block(
                block,
                format!("every unit's name has an ending, and `unit \"{}\"` matches none that has", pattern.0),
                whole_name(&pattern.0),
            ));
        }
    }
    if lines == 0 {
        let mend = "add a line such as `subject unit \"nginx.service\";`".to_owned();
        gaps.push(Gap::of_block(block, "it has no subject and would bind nothing".to_owned(), mend));
    }
}

/// What helps where a selector names no unit that has a cgroup.
fn whole_name(pattern: &str) -> String {
    let ending = pattern.rsplit('.').next().unwrap_or_default();
    if matches!(ending, "device" | "target" | "timer" | "path" | "automount") {
        return format!("no process runs in a {ending}: name the unit that it starts");
    }
    format!("write the whole name, as in `unit \"{pattern}.service\"`")
}

/// Whether a pattern matches the name of a unit that has a cgroup (systemd.unit(5)). One that cannot be read does: the check
/// of the policy has refused it.
fn names_units(pattern: &str) -> bool {
    let unit = Matcher::new("*.{service,scope,slice,socket,mount,swap}");
    let (Ok(pattern), Ok(unit)) = (Matcher::new(pattern), unit) else { return true };
    witness(&[&pattern, &unit], &[], false, &mut Budget::default()).possible()
}

/// Whether a rule puts who breaks it into quarantine.
pub(super) fn quarantines(policy: &Policy) -> bool {
    policy.blocks.iter().any(|b| {
        let outcomes = std::iter::once(&b.on_violation).chain(b.on_violation_of.values());
        let actions = outcomes.chain(b.rules.iter().map(|r| &r.outcome)).map(|o| o.action);
        actions.chain(b.active.iter().map(|a| a.otherwise)).any(|action| action == Some(Action::Quarantine))
    })
}

/// Whether a pattern of units does not end in one kind other than slices.
pub(super) fn names_slices(pattern: &str) -> bool {
    let kind = pattern.rsplit_once('.').map_or("", |(_, kind)| kind);
    kind == "slice" || kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_lowercase())
}

/// Where a slice has the label, a quarantine would hold all units in it.
fn slices(block: &Block, gaps: &mut Vec<Gap>) {
    for Selector { pattern, .. } in block.subjects.iter().flatten().filter(|s| s.key == SelectorKey::Unit) {
        if names_slices(&pattern.0) {
            gaps.push(Gap::of_block(
                block,
                format!("`unit \"{}\"` names slices, too, and a quarantine would hold all units of a slice", pattern.0),
                "name one kind of unit in a line, as in `unit \"*.service\"`, wherever the policy has `then quarantine`"
                    .to_owned(),
            ));
        }
    }
}

fn governs(block: &Block, kernel: KernelVersion, gaps: &mut Vec<Gap>) {
    if block.kind != BlockKind::Profile {
        return;
    }
    if block.governs.contains(Verb::Kernel) {
        for op in KernelOp::ALL.iter().filter(|op| since(**op) > kernel) {
            gaps.push(Gap::of_block(
                block,
                format!("Linux {kernel} has no hook for `kernel {}`", op.name()),
                format!("compile for `--kernel {}` or newer, or do not govern `kernel`", since(*op)),
            ));
        }
    }
}

fn schedule(policy: &Policy, block: &Block, gaps: &mut Vec<Gap>) {
    if let Some(active) = block.active.as_ref().filter(|a| !policy.windows.contains_key(&a.window)) {
        gaps.push(Gap::of_block(
            block,
            format!("`active during {}`: {NO_WINDOW}", active.window),
            define(&active.window),
        ));
    }
}

pub(super) const NO_WINDOW: &str = "there is no window of this name";
pub(super) fn define(window: &str) -> String {
    format!("define it: `window {window} {{ daily 08:00-18:00 zone \"UTC\"; }}`")
}

fn rule(policy: &Policy, block: &Block, rule: &Rule, kernel: KernelVersion, gaps: &mut Vec<Gap>) {
    if matches!(rule.object, Object::Syscall { .. }) {
        return; // `calls` has what a filter of system calls cannot do
    }
    let mut add = |reason: String, mend: &str| gaps.push(Gap::of_rule(block, rule, reason, mend));
    for condition in &rule.conditions {
        match condition {
            Condition::During(window) if matches!(rule.object, Object::File { switch: Some(_), .. }) => add(
                format!("`as` with `during {window}`: the kernel programs switch at any time or never"),
                "remove the condition, and write `active during` in the profile to which the rule switches",
            ),
            Condition::During(window) if !policy.windows.contains_key(window) => {
                add(format!("`during {window}`: {NO_WINDOW}"), &define(window));
            }
            Condition::During(_) => {}
            Condition::By(_) if matches!(rule.object, Object::File { switch: Some(_), .. }) => add(
                "`as` with `by`: the kernel programs switch whoever asks".to_owned(),
                "remove the condition, and write `by user` in the rules of the profile to which the rule switches",
            ),
            Condition::By(selectors) if selectors.is_empty() => {
                add("`by` names nobody".to_owned(), "name a user, as in `by user \"www-data\"`");
            }
            Condition::By(selectors) => {
                let known = |s: &&Selector| match s.key {
                    SelectorKey::User => true,
                    SelectorKey::Host => s.pattern.0 == "*",
                    _ => false,
                };
                for s in selectors.iter().filter(|s| !known(s)) {
                    let key = s.key.name();
                    add(format!("`by {key} \"{}\"`: {}", s.pattern.0, unseen(s.key)), mend_by(s.key));
                }
            }
        }
    }
    let action = rule.outcome.action.filter(|a| matches!(a, Action::Kill | Action::Quarantine | Action::Throttle));
    if let Some(action) = action.filter(|_| rule.effect == Effect::Watch) {
        add(
            format!("a watch rule observes: it does not {action}"),
            &format!("write `deny …`, or leave out `then {action}`"),
        );
    }
    match &rule.object {
        Object::Kernel { ops } => {
            for op in ops.iter().filter(|op| since(**op) > kernel) {
                add(
                    format!("Linux {kernel} has no hook for `kernel {}`", op.name()),
                    &format!("compile for `--kernel {}` or newer, or remove the rule", since(*op)),
                );
            }
        }
        Object::Net { verbs, addresses: Addresses::Dns(name), .. } => named(rule.effect, *verbs, name, &mut add),
        Object::File { switch: Some(_), verbs, .. } if !verbs.contains(Verb::Exec) || rule.effect != Effect::Allow => {
            add("`as` switches the profile at an allowed exec only".to_owned(), "write `allow exec … as …`");
        }
        Object::Net { .. }
        | Object::File { .. }
        | Object::Unix { .. }
        | Object::Capability { .. }
        | Object::Syscall { .. } => {}
    }
}

/// Why a `by` cannot be held.
fn unseen(key: SelectorKey) -> &'static str {
    match key {
        SelectorKey::Exec => "the kernel programs know the subject of a task, and not by which program it came to it",
        SelectorKey::Unit => {
            "a subject can be that of several units, and the kernel programs do not ask which one it is"
        }
        SelectorKey::Host => "the kernel programs do not know the name of the machine",
        _ => "the kernel programs do not know it of a task",
    }
}

/// What to write instead.
fn mend_by(key: SelectorKey) -> &'static str {
    match key {
        SelectorKey::Exec => {
            "switch the program to a profile of its own by `allow exec … as …`, and move the rule there, or write a \
             guard with `subject exec`"
        }
        SelectorKey::Unit => "move the rule into a profile or guard of its own with that unit as its subject",
        SelectorKey::Host => "remove the selector, and publish the policy to the machines that it is for",
        _ => "remove the selector, or move the rule into a profile or guard of its own",
    }
}

/// What a name leads to is known as far as name servers have told.
fn named(effect: Effect, verbs: VerbSet, name: &str, add: &mut impl FnMut(String, &str)) {
    if effect != Effect::Allow {
        add(
            format!("what `{name}` leads to is known only while an answer lives, so that nothing is held to it"),
            "write the addresses or address blocks that the name stands for",
        );
    } else if verbs != [Verb::Connect].into_iter().collect() {
        add(
            format!("who comes from `{name}` is not known: names are looked up to connect"),
            "write `allow connect … to dns …`, and addresses for the other verbs",
        );
    }
}
