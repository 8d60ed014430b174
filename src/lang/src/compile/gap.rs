//! What of a policy the kernel programs, or the kernel asked for, cannot enforce. Nothing of it is ever ignored.

use kiln_base::model::{Action, KernelOp, Outcome, Proto, Verb, VerbSet};
use serde::{Deserialize, Serialize};

use super::KernelVersion;
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
    fn of_rule(block: &Block, rule: &Rule, reason: impl Into<String>, mend: impl Into<String>) -> Gap {
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
        schedule(block, &mut gaps);
        let on_violation = std::iter::once(&block.on_violation).chain(block.on_violation_of.values());
        if let Some(action) = on_violation.filter_map(unsupported_action).next() {
            gaps.push(Gap::of_block(block, action_reason(action), ACTION_MEND.to_owned()));
        }
        for limit in &block.limits {
            let gap = Gap::of_block(
                block,
                "resource limits are not enforced yet".to_owned(),
                "remove the limit; set MemoryMax=, CPUQuota=, TasksMax= or LimitNOFILE= in the unit".to_owned(),
            );
            gaps.push(Gap { rule: Some("limit".to_owned()), origin: Some(limit.origin.clone()), ..gap });
        }
        for r in &block.rules {
            rule(block, r, kernel, &mut gaps);
        }
    }
    gaps
}

fn subjects(block: &Block, gaps: &mut Vec<Gap>) {
    let mut lines = 0;
    for selector in block.subjects.iter().flatten() {
        lines += 1;
        let Selector { key, pattern } = selector;
        let known = match key {
            SelectorKey::Exec | SelectorKey::Unit => true,
            SelectorKey::Host => pattern.0 == "*",
            _ => false,
        };
        if !known {
            gaps.push(Gap::of_block(
                block,
                format!("the kernel does not know a task's {}: `{} \"{}\"`", key.name(), key.name(), pattern.0),
                "attach by `unit`, `exec`, or in a guard by `host \"*\"`".to_owned(),
            ));
        }
    }
    if lines == 0 {
        let mend = "add a line such as `subject unit \"nginx.service\";`".to_owned();
        gaps.push(Gap::of_block(block, "it has no subject and would bind nothing".to_owned(), mend));
    }
}

/// Whether a rule puts who breaks it into quarantine.
pub(super) fn quarantines(policy: &Policy) -> bool {
    policy.blocks.iter().any(|b| {
        let outcomes = std::iter::once(&b.on_violation).chain(b.on_violation_of.values());
        outcomes.chain(b.rules.iter().map(|r| &r.outcome)).any(|o| o.action == Some(Action::Quarantine))
    })
}

/// Where a slice has the label, a quarantine would hold all units in it.
fn slices(block: &Block, gaps: &mut Vec<Gap>) {
    for Selector { pattern, .. } in block.subjects.iter().flatten().filter(|s| s.key == SelectorKey::Unit) {
        let kind = pattern.0.rsplit_once('.').map_or("", |(_, kind)| kind);
        if kind == "slice" || kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_lowercase()) {
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
    if block.governs.contains(Verb::Syscall) {
        let rest: Vec<&str> = block.governs.iter().filter(|v| *v != Verb::Syscall).map(Verb::name).collect();
        gaps.push(Gap::of_block(
            block,
            "it governs system calls, and system call filters are not built yet".to_owned(),
            format!("add the line `governs {};`", rest.join(", ")),
        ));
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

fn schedule(block: &Block, gaps: &mut Vec<Gap>) {
    if let Some(active) = &block.active {
        gaps.push(Gap::of_block(
            block,
            format!("`active during {}`: the kernel programs do not know windows yet", active.window),
            "remove the line, and publish the policy for the time in which it shall hold".to_owned(),
        ));
    }
}

const ACTION_MEND: &str = "use `then alert`, `then quarantine` or `then kill`";

fn unsupported_action(outcome: &Outcome) -> Option<Action> {
    outcome.action.filter(|a| matches!(a, Action::Throttle))
}
fn action_reason(action: Action) -> String {
    format!("the kernel programs cannot {action}; they deny, report, quarantine and kill")
}

fn rule(block: &Block, rule: &Rule, kernel: KernelVersion, gaps: &mut Vec<Gap>) {
    let mut add = |reason: String, mend: &str| gaps.push(Gap::of_rule(block, rule, reason, mend));
    for condition in &rule.conditions {
        match condition {
            Condition::During(window) => add(
                format!("`during {window}`: the kernel programs do not know windows yet"),
                "remove the condition, and publish the policy for the time in which it shall hold",
            ),
            Condition::By(_) => add(
                "`by`: the kernel programs do not look at who asks beyond the subject".to_owned(),
                "move the rule into a profile or guard of its own with that subject",
            ),
        }
    }
    if let Some(action) = unsupported_action(&rule.outcome) {
        add(action_reason(action), ACTION_MEND);
    }
    let action = rule.outcome.action.filter(|a| matches!(a, Action::Kill | Action::Quarantine));
    if let Some(action) = action.filter(|_| rule.effect == Effect::Watch) {
        add(
            format!("a watch rule observes: it does not {action}"),
            &format!("write `deny …`, or leave out `then {action}`"),
        );
    }
    match &rule.object {
        Object::Syscall { .. } => add(
            "system call filters are not built yet".to_owned(),
            "remove the rule; set SystemCallFilter= in the unit",
        ),
        Object::Kernel { ops } => {
            for op in ops.iter().filter(|op| since(**op) > kernel) {
                add(
                    format!("Linux {kernel} has no hook for `kernel {}`", op.name()),
                    &format!("compile for `--kernel {}` or newer, or remove the rule", since(*op)),
                );
            }
        }
        Object::Net { verbs, proto, addresses, .. } => net(block, rule.effect, (*verbs, *proto, addresses), &mut add),
        Object::File { switch: Some(_), verbs, .. } if !verbs.contains(Verb::Exec) || rule.effect != Effect::Allow => {
            add("`as` switches the profile at an allowed exec only".to_owned(), "write `allow exec … as …`");
        }
        Object::File { .. } | Object::Unix { .. } | Object::Capability { .. } => {}
    }
}

fn net(
    block: &Block,
    effect: Effect,
    (verbs, proto, addresses): (VerbSet, Proto, &Addresses),
    add: &mut impl FnMut(String, &str),
) {
    if let Addresses::Dns(name) = addresses {
        add(
            format!("the kernel sees addresses, not the name `{name}`"),
            "write the addresses or address blocks that the name stands for",
        );
    }
    // In a profile a refusal by default covers every protocol, so that a `deny` of one adds nothing to miss.
    let covered = effect == Effect::Deny && block.kind == BlockKind::Profile && {
        verbs.iter().all(|v| block.governs.contains(v))
    };
    match proto {
        Proto::Icmp | Proto::Sctp if !covered => add(
            format!("{} is not told apart in the kernel programs yet", proto.name()),
            "remove the rule; a profile that governs bind, connect and accept refuses the protocol",
        ),
        Proto::Udp if verbs.contains(Verb::Accept) && !covered => add(
            "there is no moment at which a UDP socket accepts a peer".to_owned(),
            "write `bind udp` for a unit that may listen, or `accept tcp`",
        ),
        _ => {}
    }
}
