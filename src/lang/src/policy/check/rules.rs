//! Rules against each other: `never`, switches, rules without effect.

use kiln_base::model::{KernelOp, VerbSet};

use crate::pdl::{Code, Diagnostic, Diagnostics};

use super::super::detour;
use super::super::normal::{Block, BlockKind, Effect, Object, Policy};
use super::super::print::object_text;
use super::super::resolve::{BlockPlaces, Place};
use super::leaning;
use super::overlap::{common, left, taken, verbs};
use super::patterns::Patterns;
use super::subjects::hosts_disjoint;

pub(super) fn check(policy: &Policy, places: &[BlockPlaces], patterns: &mut Patterns, found: &mut Diagnostics) {
    for (block, places) in policy.blocks.iter().zip(places) {
        if block.kind == BlockKind::Profile {
            switches(policy, block, places, patterns, found);
            without_effect(block, places, patterns, found);
            detours(block, places, found);
        }
        exceptions(block, places, patterns, found);
        leaning::check(block, places, found);
    }
    nevers(policy, places, patterns, found);
}

/// The objects that a block denies whatever the time and subject.
fn denied(block: &Block) -> Vec<&Object> {
    let always = |effect: Effect| move |r: &&super::super::normal::Rule| r.effect == effect && r.conditions.is_empty();
    block.rules.iter().filter(always(Effect::Deny)).map(|r| &r.object).collect()
}

/// Whether the object is, of a class that is not governed, something that is refused for what it goes round.
fn names_detour(block: &Block, object: &Object) -> bool {
    match object {
        Object::Kernel { ops } => ops.iter().any(|op| detour::goes_round(block.governs, *op)),
        Object::Capability { numbers } => numbers.iter().any(|n| detour::capability_goes_round(block.governs, *n)),
        _ => false,
    }
}

fn nevers(policy: &Policy, places: &[BlockPlaces], patterns: &mut Patterns, found: &mut Diagnostics) {
    for (guard, guard_places) in policy.blocks.iter().zip(places).filter(|(g, _)| !g.nevers.is_empty()) {
        for (profile, profile_places) in policy.blocks.iter().zip(places).filter(|(b, _)| b.kind == BlockKind::Profile)
        {
            if hosts_disjoint(guard, profile, patterns) {
                continue;
            }
            let denies = denied(profile);
            for (never, never_place) in guard.nevers.iter().zip(&guard_places.nevers) {
                for (rule, place) in profile.rules.iter().zip(&profile_places.rules) {
                    if rule.effect != Effect::Allow || patterns.budget.exhausted() {
                        continue;
                    }
                    let Some(example) = common(&never.object, &rule.object, &denies, patterns) else { continue };
                    let message = format!("`{}` allows what `{}` says is never allowed", profile.name, guard.name);
                    found.push(
                        Diagnostic::error(Code::NeverAllowed, place.file, place.span.clone(), message)
                            .because(format!("it allows {example}"))
                            .mend(format!(
                                "narrow the rule, or add `deny {};` to `{}`",
                                object_text(&never.object),
                                profile.name
                            ))
                            .see(never_place.file, never_place.span.clone(), "never allowed here"),
                    );
                }
            }
        }
    }
}

fn switches(policy: &Policy, block: &Block, places: &BlockPlaces, patterns: &mut Patterns, found: &mut Diagnostics) {
    let target = |object: &Object| match object {
        Object::File { switch: Some(profile), .. } => Some(profile.clone()),
        _ => None,
    };
    let switching: Vec<(&Object, String, &Place)> = block
        .rules
        .iter()
        .zip(&places.rules)
        .filter_map(|(rule, place)| target(&rule.object).map(|t| (&rule.object, t, place)))
        .collect();
    for (n, (object, profile, place)) in switching.iter().enumerate() {
        let known = policy.blocks.iter().any(|b| b.kind == BlockKind::Profile && b.name == *profile);
        if !known {
            let names: Vec<&str> =
                policy.blocks.iter().filter(|b| b.kind == BlockKind::Profile).map(|b| b.name.as_str()).collect();
            let mend = match crate::pdl::closest(profile, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("define it: `profile {profile} {{ … }}`"),
            };
            found.push(
                Diagnostic::error(
                    Code::UnknownProfile,
                    place.file,
                    place.span.clone(),
                    format!("there is no profile `{profile}`"),
                )
                .because("the program would run under a profile that does not exist")
                .mend(mend),
            );
        }
        for (other, second, there) in &switching[n + 1..] {
            if second == profile || patterns.budget.exhausted() {
                continue;
            }
            let Some(example) = common(object, other, &denied(block), patterns) else { continue };
            let message = format!("one program is switched to both `{profile}` and `{second}`");
            found.push(
                Diagnostic::error(Code::SwitchConflict, there.file, there.span.clone(), message)
                    .because(format!("both rules match {example}"))
                    .mend("make the patterns disjoint")
                    .see(place.file, place.span.clone(), "switched here as well"),
            );
        }
    }
}

/// A permission by which the profile's other rules can be got round.
fn detours(block: &Block, places: &BlockPlaces, found: &mut Diagnostics) {
    for (rule, place) in block.rules.iter().zip(&places.rules) {
        for name in detour::opened(block, rule) {
            let how = match name.parse() {
                Ok(KernelOp::Bpf) => "a BPF program reads and changes what the kernel does for others",
                Ok(KernelOp::Kexec) => "another kernel enforces nothing",
                Ok(KernelOp::Module) => "a module is part of the kernel",
                Ok(KernelOp::Ptrace) => "who traces a process acts as that process",
                Ok(KernelOp::Lockdown) => "what lockdown guards is the kernel's own memory and devices",
                Ok(KernelOp::Mount) => "a mount gives files and sockets other names",
                Ok(KernelOp::RawSocket) => "packets made by hand go where no rule about addresses looks",
                _ => "a device node is a second name for all that is on the device",
            };
            found.push(
                Diagnostic::warning(
                    Code::Detour,
                    place.file,
                    place.span.clone(),
                    format!("`{name}` goes round the other rules of `{}`", block.name),
                )
                .because(how)
                .mend("remove it if the program can do without, or give what needs it to another unit"),
            );
        }
    }
}

/// Exceptions that take nothing out of their rule, or all of it.
fn exceptions(block: &Block, places: &BlockPlaces, patterns: &mut Patterns, found: &mut Diagnostics) {
    let rules = block.rules.iter().map(|r| &r.object).zip(&places.rules);
    let nevers = block.nevers.iter().map(|n| &n.object).zip(&places.nevers);
    for (object, place) in rules.chain(nevers).filter(|(o, _)| !o.patterns().1.is_empty()) {
        let mut warn = |message: String, why: &str, mend: &str| {
            let warning = Diagnostic::warning(Code::DeadRule, place.file, place.span.clone(), message);
            found.push(warning.because(why).mend(mend));
        };
        let (paths, except) = object.patterns();
        if left(object, patterns).is_none() && !patterns.budget.exhausted() {
            let why = "the exceptions cover all that it names";
            warn("the rule never says anything".to_owned(), why, "remove the rule, or narrow its exceptions");
            continue;
        }
        for glob in except {
            if !taken(paths, glob, patterns) && !patterns.budget.exhausted() {
                let why = "no path of the rule matches it, so that it takes nothing away";
                warn(format!("the exception `{}` never matches", glob.0), why, "remove it, or correct it");
            }
        }
    }
}

fn without_effect(block: &Block, places: &BlockPlaces, patterns: &mut Patterns, found: &mut Diagnostics) {
    let denies = denied(block);
    for (rule, place) in block.rules.iter().zip(&places.rules).filter(|(r, _)| r.effect == Effect::Allow) {
        let asked = verbs(&rule.object);
        if asked.intersection(block.governs) == VerbSet::EMPTY && !names_detour(block, &rule.object) {
            found.push(
                Diagnostic::warning(
                    Code::Ungoverned,
                    place.file,
                    place.span.clone(),
                    "the rule allows what is not governed",
                )
                .because(format!("`{}` leaves this class alone, so it is permitted anyway", block.name))
                .mend("add the class to `governs`, or remove the rule"),
            );
            continue;
        }
        let dead = !denies.is_empty() && common(&rule.object, &rule.object, &denies, patterns).is_none();
        if dead && !patterns.budget.exhausted() {
            found.push(
                Diagnostic::warning(Code::DeadRule, place.file, place.span.clone(), "the rule never permits anything")
                    .because("a `deny` of the same profile covers all of it, and deny wins")
                    .mend("remove this rule, or narrow the `deny`"),
            );
        }
    }
}
