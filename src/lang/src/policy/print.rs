//! Normal form to PDL: the flat form of `kiln expand`, and the texts of rules.

use std::fmt::Write;

use kiln_base::model::{Because, Cidr, Outcome, PortRange, Verb, VerbSet, capability_name, pattern_in_quotes};

use super::normal::{Addresses, Block, Condition, Effect, Glob, Limit, Object, Policy, Rule, Selector};

/// The policy as one PDL text without imports, lets and abstractions, in canonical layout. Loading it gives the same
/// policy but for the origins.
pub fn to_pdl(policy: &Policy) -> String {
    let mut out = format!("pdl {};\n", policy.edition);
    for (name, window) in &policy.windows {
        out.push('\n');
        out.push_str(&window.text(name));
    }
    for block in &policy.blocks {
        out.push_str(&block_text(block));
    }
    crate::pdl::format(&out).unwrap_or(out)
}

fn block_text(block: &Block) -> String {
    let mut out = format!("\n{} {} {{\n", block.kind, block.name);
    for subject in &block.subjects {
        let _ = writeln!(out, "  subject {};", selectors(subject));
    }
    let _ = writeln!(out, "  mode {};", block.mode);
    if block.governs != VerbSet::ALL {
        let _ = writeln!(out, "  governs {};", verbs(block.governs));
    }
    if let Some(active) = &block.active {
        let otherwise = active.otherwise.map(|a| format!(" else {a}")).unwrap_or_default();
        let _ = writeln!(out, "  active during {}{otherwise}{};", active.window, because(&active.because));
    }
    if block.on_violation != Outcome::default() {
        let _ = writeln!(out, "  on violation{};", outcome(&block.on_violation));
    }
    for (verb, of) in &block.on_violation_of {
        let _ = writeln!(out, "  on violation of {verb}{};", outcome(of));
    }
    for limit in &block.limits {
        let _ = writeln!(out, "  {}{};", limit_text(limit), because(&limit.because));
    }
    for rule in &block.rules {
        let _ = writeln!(out, "  {}{};", rule.text, because(&rule.because));
    }
    for never in &block.nevers {
        let _ = writeln!(out, "  never allow {}{};", object_text(&never.object), because(&never.because));
    }
    out + "}\n"
}

/// A rule's canonical text without `because` and `;`.
pub fn rule_text(rule: &Rule) -> String {
    let effect = match rule.effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
        Effect::Watch => "watch",
    };
    let mut out = format!("{effect} {}", object_text(&rule.object));
    for condition in &rule.conditions {
        match condition {
            Condition::During(window) => {
                let _ = write!(out, " during {window}");
            }
            Condition::By(list) => {
                let _ = write!(out, " by {}", selectors(list));
            }
        }
    }
    out + &outcome(&rule.outcome)
}

/// An object as a rule has it.
pub fn object_text(object: &Object) -> String {
    match object {
        Object::File { verbs: set, paths, except, switch } => {
            let switch = switch.as_ref().map(|p| format!(" as {p}")).unwrap_or_default();
            format!("{} {}{}{switch}", verbs(*set), globs(paths), exception(except))
        }
        Object::Unix { verbs: set, paths, except } => {
            format!("{} unix {}{}", verbs(*set), globs(paths), exception(except))
        }
        Object::Net { verbs: set, proto, addresses, ports } => {
            let verb = set.iter().next().unwrap_or(Verb::Connect);
            let preposition = verb.preposition().unwrap_or("to");
            let mut out = format!("{} {} {preposition} {}", verbs(*set), proto.name(), address_text(addresses));
            if ports != &[PortRange::ANY] {
                let list: Vec<String> = ports.iter().map(PortRange::to_string).collect();
                let _ = write!(out, " port {}", list.join(", "));
            }
            out
        }
        Object::Capability { numbers } if numbers.len() == 64 => "capability any".to_owned(),
        Object::Capability { numbers } => {
            let names: Vec<&str> = numbers.iter().filter_map(|n| capability_name(*n)).collect();
            format!("capability {}", names.join(", "))
        }
        Object::Kernel { ops } if ops.len() == kiln_base::model::KernelOp::ALL.len() => "kernel any".to_owned(),
        Object::Kernel { ops } => {
            let names: Vec<&str> = ops.iter().map(|op| op.name()).collect();
            format!("kernel {}", names.join(", "))
        }
        Object::Syscall { names } => format!("syscall {}", names.join(", ")),
    }
}

fn address_text(addresses: &Addresses) -> String {
    match addresses {
        Addresses::Dns(name) => format!("dns {}", pattern_in_quotes(name)),
        Addresses::Blocks(blocks) if blocks == &[Cidr::ANY] => "any".to_owned(),
        Addresses::Blocks(blocks)
            if blocks.len() == 2 && blocks.iter().all(|b| *b == Cidr::LOOPBACK_V4 || *b == Cidr::LOOPBACK_V6) =>
        {
            "loopback".to_owned()
        }
        Addresses::Blocks(blocks) => {
            let list: Vec<String> = blocks.iter().map(|b| pattern_in_quotes(&b.to_string())).collect();
            list.join(", ")
        }
    }
}

fn limit_text(limit: &Limit) -> String {
    let mut out = kiln_base::model::limit_text(&limit.amount.resources());
    if let Some(window) = &limit.during {
        let _ = write!(out, " during {window}");
    }
    out + &outcome(&limit.outcome)
}

fn outcome(outcome: &Outcome) -> String {
    let severity = outcome.severity.map(|s| format!(" severity {s}")).unwrap_or_default();
    let action = outcome.action.map(|a| format!(" then {a}")).unwrap_or_default();
    severity + &action
}

fn because(refs: &[Because]) -> String {
    Because::clause(refs)
}

fn selectors(list: &[Selector]) -> String {
    let list: Vec<String> =
        list.iter().map(|s| format!("{} {}", s.key.name(), pattern_in_quotes(&s.pattern.0))).collect();
    list.join(", ")
}

fn verbs(set: VerbSet) -> String {
    set.words().join(", ")
}

fn globs(list: &[Glob]) -> String {
    let list: Vec<String> = list.iter().map(|g| pattern_in_quotes(&g.0)).collect();
    list.join(", ")
}

fn exception(list: &[Glob]) -> String {
    if list.is_empty() { String::new() } else { format!(" except {}", globs(list)) }
}
