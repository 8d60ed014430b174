//! Where a policy leans on what Kiln does not promise (SECURITY.md): each such place gets a warning, once a block.

use kiln_base::model::{Cidr, KernelOp, Verb, VerbSet, capability_number};

use crate::pdl::{Code, Diagnostic, Diagnostics};

use super::super::detour;
use super::super::normal::{Addresses, Block, BlockKind, Effect, Glob, Object, Rule};
use super::super::resolve::{BlockPlaces, Place};
use super::overlap::common;
use super::patterns::Patterns;

/// Sockets of programs that start programs for their clients: the children are not in the client's unit.
const STARTERS: &[&str] = &[
    "{,/var}/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "{,/var}/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/run/libvirt/libvirt-sock",
    "/run/user/*/bus",
    "/run/user/*/systemd/private",
];

pub(super) fn check(block: &Block, places: &BlockPlaces, found: &mut Diagnostics) {
    guard(block, places, found);
    addresses(block, places, found);
    if block.kind == BlockKind::Profile {
        let mut patterns = Patterns::default();
        starters(block, places, &mut patterns, found);
        programs(block, places, &mut patterns, found);
    }
}

fn unconditional(block: &Block, effect: Effect) -> impl Iterator<Item = &Rule> {
    block.rules.iter().filter(move |rule| rule.effect == effect && rule.conditions.is_empty())
}

fn denies_op(block: &Block, op: KernelOp) -> bool {
    unconditional(block, Effect::Deny).any(|r| matches!(&r.object, Object::Kernel { ops } if ops.contains(&op)))
}

fn names_capability(rule: &Rule, name: &str) -> bool {
    let number = capability_number(name);
    matches!(&rule.object, Object::Capability { numbers } if number.is_some_and(|n| numbers.contains(&n)))
}

/// Whether whom the block binds may use the capability, as far as the block says.
fn may_use(block: &Block, name: &str) -> bool {
    if unconditional(block, Effect::Deny).any(|rule| names_capability(rule, name)) {
        return false;
    }
    let refused = block.kind == BlockKind::Profile
        && capability_number(name).is_some_and(|n| detour::governs_capability(block.governs, n));
    !refused || block.rules.iter().any(|rule| rule.effect == Effect::Allow && names_capability(rule, name))
}

/// The first rule for which this holds, and its place.
fn first<'b>(
    block: &'b Block,
    places: &'b BlockPlaces,
    holds: impl Fn(&Rule) -> bool,
) -> Option<(&'b Rule, &'b Place)> {
    block.rules.iter().zip(&places.rules).find(|(rule, _)| holds(rule))
}

/// A guard refuses what it names, and not what the kernel or a mount does for the task.
fn guard(block: &Block, places: &BlockPlaces, found: &mut Diagnostics) {
    if block.kind != BlockKind::Guard {
        return;
    }
    let files = |rule: &Rule| rule.effect == Effect::Deny && matches!(rule.object, Object::File { .. });
    let network = |rule: &Rule| rule.effect == Effect::Deny && matches!(rule.object, Object::Net { .. });
    let missing = |ops: &[KernelOp]| ops.iter().copied().filter(|op| !denies_op(block, *op)).collect::<Vec<_>>();
    let mut warn = |place: &Place, ops: &[KernelOp], what: &str, why: &str| {
        if ops.is_empty() {
            return;
        }
        let names: Vec<&str> = ops.iter().map(|op| op.name()).collect();
        found.push(
            Diagnostic::warning(
                Code::GuardDetour,
                place.file,
                place.span.clone(),
                format!("`{}` refuses {what}, and leaves a way round", block.name),
            )
            .because(why)
            .mend(format!("add `deny kernel {};` to the guard", names.join(", "))),
        );
    };
    if let Some((_, place)) = first(block, places, files) {
        let why =
            "an overlay that a task mounts over a folder is another file system, whose files are not the guarded ones";
        warn(place, &missing(&[KernelOp::Mount]), "paths", why);
    }
    if let Some((_, place)) = first(block, places, network) {
        let why = "the kernel itself connects for network file systems, and raw sockets carry packets made by hand";
        warn(place, &missing(&[KernelOp::Mount, KernelOp::RawSocket]), "addresses", why);
    }
}

/// An address means what the machine says that it means.
fn addresses(block: &Block, places: &BlockPlaces, found: &mut Diagnostics) {
    let chosen = |rule: &Rule| match (&rule.object, rule.effect) {
        (Object::Net { .. }, Effect::Deny) => true,
        (Object::Net { verbs, addresses, .. }, Effect::Allow) => {
            let any = matches!(addresses, Addresses::Blocks(blocks) if blocks.contains(&Cidr::ANY));
            !any && !verbs.intersection(block.governs).is_empty()
        }
        _ => false,
    };
    let Some((_, place)) = first(block, places, chosen) else { return };
    if !may_use(block, "net_admin") {
        return;
    }
    let allowed = first(block, places, |rule| rule.effect == Effect::Allow && names_capability(rule, "net_admin"));
    let mend = match (block.kind, &allowed) {
        (BlockKind::Guard, _) => "add `deny capability net_admin;` to the guard",
        (_, Some(_)) => "give what needs `net_admin` to another unit",
        (_, None) => "add `capability` to `governs`",
    };
    let mut warning = Diagnostic::warning(
        Code::AddressChanged,
        place.file,
        place.span.clone(),
        format!("`{}` names addresses, and leaves `net_admin` to the tasks that it binds", block.name),
    )
    .because("a process that can change routes, addresses or packet filters makes a permitted address any other")
    .mend(mend);
    if let Some((_, there)) = allowed {
        warning = warning.see(there.file, there.span.clone(), "permitted here");
    }
    found.push(warning);
}

/// What another program does for who talks to it is that program's.
fn starters(block: &Block, places: &BlockPlaces, patterns: &mut Patterns, found: &mut Diagnostics) {
    if !block.governs.contains(Verb::Exec) {
        return;
    }
    let known = Object::Unix {
        verbs: VerbSet::from_iter([Verb::Connect]),
        paths: STARTERS.iter().map(|path| Glob((*path).to_owned())).collect(),
        except: Vec::new(),
    };
    let denied: Vec<&Object> = unconditional(block, Effect::Deny).map(|rule| &rule.object).collect();
    for (rule, place) in block.rules.iter().zip(&places.rules) {
        if rule.effect != Effect::Allow || !matches!(rule.object, Object::Unix { .. }) {
            continue;
        }
        let Some(example) = common(&rule.object, &known, &denied, patterns) else { continue };
        found.push(
            Diagnostic::warning(
                Code::Starter,
                place.file,
                place.span.clone(),
                format!("`{}` can ask another program to start programs", block.name),
            )
            .because(format!("it allows {example}, and what is started there is outside of the unit"))
            .mend("remove it if the program can do without; else restrict what that program does for this user"),
        );
        return;
    }
}

/// Paths are selectors: a process that can write a program's file changes what runs.
fn programs(block: &Block, places: &BlockPlaces, patterns: &mut Patterns, found: &mut Diagnostics) {
    let (written, run) = ([Verb::Modify, Verb::Create], [Verb::Exec, Verb::Load]);
    if run.iter().any(|verb| !block.governs.contains(*verb)) {
        return;
    }
    // Both are compared as if they were of one verb, and what is denied to either is out of it.
    let paths = |rule: &Rule, verb: Verb| match &rule.object {
        Object::File { verbs, paths, except, .. } if verbs.contains(verb) => {
            let (paths, except) = (paths.clone(), except.clone());
            Some(Object::File { verbs: VerbSet::from_iter([Verb::Exec]), paths, except, switch: None })
        }
        _ => None,
    };
    let allowed = |rule: &Rule, verb: Verb| if rule.effect == Effect::Allow { paths(rule, verb) } else { None };
    for (write, run) in written.into_iter().flat_map(|write| run.map(|run| (write, run))) {
        let denied: Vec<Object> = unconditional(block, Effect::Deny)
            .flat_map(|rule| [paths(rule, write), paths(rule, run)])
            .flatten()
            .collect();
        let denied: Vec<&Object> = denied.iter().collect();
        // Of many rules few run anything: not each with each.
        let of = |verb| {
            let rules = block.rules.iter().zip(&places.rules);
            rules.filter_map(|(rule, place)| Some((allowed(rule, verb)?, place))).collect::<Vec<_>>()
        };
        let (writes, runs) = (of(write), of(run));
        for (writing, place) in &writes {
            for (running, there) in &runs {
                if patterns.budget.exhausted() {
                    return;
                }
                let Some(example) = common(writing, running, &denied, patterns) else { continue };
                found.push(
                    Diagnostic::warning(
                        Code::WrittenProgram,
                        place.file,
                        place.span.clone(),
                        format!("`{}` may write what it may execute or load", block.name),
                    )
                    .because(format!(
                        "{} is a name, and a process that writes the file decides what runs",
                        example.trim_start_matches("exec ")
                    ))
                    .mend("make the patterns disjoint")
                    .see(there.file, there.span.clone(), "executed or loaded by this rule"),
                );
                return;
            }
        }
    }
}
