//! Tables ≡ the policy, read rule by rule.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use super::random::{self, Asked, Random};
use super::*;
use crate::abi::walk::{Object as Wanted, Verdict, walkable};
use crate::automata::Pattern;
use crate::model::{Action, Mode, Severity, Verb};
use crate::policy::normal::*;

pub(crate) fn options() -> Options {
    Options { policy: Digest::of(b"policy"), serial: 7, kernel: KernelVersion::BASELINE }
}

pub(crate) fn wanted(asked: &Asked) -> Wanted<'_> {
    match asked {
        Asked::Path(p) | Asked::Unix(p) => Wanted::Path(p),
        Asked::Net(protocol, address, port) => Wanted::Net { protocol: *protocol, address: *address, port: *port },
        Asked::Capability(n) => Wanted::Capability(*n),
        Asked::Kernel(op) => Wanted::Kernel(*op),
        Asked::Unresolved => Wanted::Unresolved,
    }
}

fn glob_matches(glob: &Glob, text: &[u8]) -> bool {
    thread_local! {
        static PARSED: RefCell<HashMap<Glob, Pattern>> = RefCell::default();
    }
    PARSED.with_borrow_mut(|parsed| {
        parsed.entry(glob.clone()).or_insert_with(|| Pattern::parse(&glob.0).unwrap()).matches(text)
    })
}

fn unresolved(asked: &Asked) -> bool {
    match asked {
        Asked::Unresolved => true,
        Asked::Path(p) | Asked::Unix(p) => !walkable(p),
        _ => false,
    }
}

/// Whether a rule's object is what is asked. None: it cannot be known, because the object could not be resolved.
fn matches(object: &Object, verb: Verb, asked: &Asked) -> Option<bool> {
    Some(match (object, asked) {
        (Object::File { verbs, .. } | Object::Unix { verbs, .. } | Object::Net { verbs, .. }, _)
            if !verbs.contains(verb) =>
        {
            false
        }
        (Object::File { .. } | Object::Unix { .. } | Object::Net { .. }, asked) if unresolved(asked) => return None,
        (Object::File { paths, .. }, Asked::Path(p)) | (Object::Unix { paths, .. }, Asked::Unix(p)) => {
            paths.iter().any(|g| glob_matches(g, p))
        }
        (Object::Net { proto, addresses: Addresses::Blocks(blocks), ports, .. }, Asked::Net(p, a, port)) => {
            *proto as u8 == *p && blocks.iter().any(|b| b.contains(*a)) && ports.iter().any(|r| r.contains(*port))
        }
        (Object::Capability { numbers }, Asked::Capability(n)) => numbers.contains(n),
        (Object::Kernel { ops }, Asked::Kernel(op)) => ops.contains(op),
        _ => false,
    })
}

/// What one block says: whether it refuses, with what severity and action.
fn refuses(block: &Block, verb: Verb, asked: &Asked) -> Option<(Severity, Action)> {
    let found = |effect: Effect| {
        block.rules.iter().filter(move |r| r.effect == effect).filter(move |r| {
            // What is not known fails closed: a deny matches, an allow does not.
            matches(&r.object, verb, asked).unwrap_or(effect == Effect::Deny)
        })
    };
    let of_class = block.on_violation_of.get(&verb).copied().unwrap_or_default();
    let resolve = |o: crate::model::Outcome| {
        (
            o.severity.or(of_class.severity).or(block.on_violation.severity).unwrap_or(Severity::Medium),
            o.action.or(of_class.action).or(block.on_violation.action).unwrap_or(Action::Alert),
        )
    };
    let denied = found(Effect::Deny).map(|r| resolve(r.outcome)).reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)));
    let default =
        block.kind == BlockKind::Profile && block.governs.contains(verb) && found(Effect::Allow).next().is_none();
    denied.or_else(|| default.then(|| resolve(Default::default())))
}

/// The verdict word and the outcome's severity and action, without the rule.
type Said = (&'static str, Option<(u8, u8)>);

fn expected(blocks: &[&Block], verb: Verb, asked: &Asked) -> Said {
    for (word, enforcing) in [("deny", true), ("would", false)] {
        let own = blocks.iter().filter(|b| (b.mode == Mode::Enforce) == enforcing);
        let worst = own.filter_map(|b| refuses(b, verb, asked)).reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)));
        if let Some((severity, action)) = worst {
            return (word, Some((severity as u8, action as u8)));
        }
    }
    let watches = blocks.iter().flat_map(|b| &b.rules).filter(|r| r.effect == Effect::Watch);
    let seen = watches.filter(|r| matches(&r.object, verb, asked) == Some(true));
    match seen.map(|r| r.outcome.severity.unwrap_or(Severity::Low)).max() {
        Some(severity) => ("watch", Some((severity as u8, 0))),
        None => ("allow", None),
    }
}

fn said(verdict: Verdict) -> Said {
    let of = |o: crate::abi::layout::Outcome| Some((o.severity, o.action));
    match verdict {
        Verdict::Allow => ("allow", None),
        Verdict::Watched(o) => ("watch", of(o)),
        Verdict::WouldDeny(o) => ("would", of(o)),
        Verdict::Denied(o) => ("deny", of(o)),
    }
}

/// The blocks that the metadata names for a subject.
fn blocks_of<'p>(policy: &'p Policy, tables: &Tables, subject: u32) -> Vec<&'p Block> {
    let info = &tables.metadata.subjects[subject as usize - 1];
    let named = |b: &&Block| match b.kind {
        BlockKind::Profile => info.profile.as_ref() == Some(&b.name),
        BlockKind::Guard => info.guards.contains(&b.name),
    };
    policy.blocks.iter().filter(named).collect()
}

#[test]
fn tables_decide_as_the_policy_does() {
    let (mut requests, mut words) = (0, std::collections::BTreeMap::new());
    for seed in 0..300 {
        let mut r = Random(seed);
        let policy = random::policy(&mut r);
        let tables = compile(&policy, &options()).unwrap_or_else(|e| panic!("seed {seed}: {e} {e:?}"));
        let n = tables.metadata.subjects.len() as u32;
        for _ in 0..400 {
            let (verb, asked) = random::request(&mut r);
            let subject = 1 + r.below(n as usize) as u32;
            let verdict = tables.kernel.verdict(subject, verb, &wanted(&asked)).unwrap();
            requests += 1;
            if subject == 2 {
                assert!(matches!(verdict, Verdict::Denied(_)), "the sentinel was permitted {verb} {asked:?}");
                continue;
            }
            let blocks = blocks_of(&policy, &tables, subject);
            let want = expected(&blocks, verb, &asked);
            assert_eq!(said(verdict), want, "seed {seed} subject {subject} {verb} {asked:?}\n{policy:#?}");
            *words.entry(want.0).or_insert(0) += 1;
            // The rule that is named is one of a refusing block and speaks of the verb.
            if let Verdict::Denied(o) | Verdict::WouldDeny(o) = verdict {
                let info = &tables.metadata.rules[o.rule as usize];
                let block = &policy.blocks[info.block as usize];
                assert!(blocks.contains(&block) && refuses(block, verb, &asked).is_some());
                assert_eq!(o.mode, block.mode as u8);
            }
            if verdict != Verdict::Allow {
                let verbs = tables.kernel.subject(subject).unwrap().verbs;
                assert!(verbs >> verb as u8 & 1 != 0, "a quick yes would hide {verdict:?}");
            }
        }
    }
    assert!(requests >= 100_000);
    // The law would be empty if one answer were all there is.
    assert!(["allow", "deny", "would", "watch"].iter().all(|w| words[w] > 300), "{words:?}");
}

#[test]
fn subjects_follow_exec_and_unit() {
    let mut changes = 0;
    for seed in 0..300 {
        let mut r = Random(seed);
        let policy = random::policy(&mut r);
        let tables = compile(&policy, &options()).unwrap();
        let (mut subject, mut profile, mut guards) = (1, None::<&str>, BTreeSet::<&str>::new());
        for _ in 0..60 {
            let at_exec = r.one_in(2);
            let text = if at_exec { random::program(&mut r) } else { random::unit(&mut r) };
            let key = if at_exec { SelectorKey::Exec } else { SelectorKey::Unit };
            let selected = |b: &&Block| {
                b.subjects.iter().flatten().any(|s| s.key == key && glob_matches(&s.pattern, text.as_bytes()))
            };
            for b in policy.blocks.iter().filter(|b| b.kind == BlockKind::Guard).filter(selected) {
                guards.insert(&b.name);
            }
            let switch = || {
                let own = policy.blocks.iter().find(|b| b.kind == BlockKind::Profile && Some(&*b.name) == profile)?;
                own.rules.iter().find_map(|rule| match &rule.object {
                    Object::File { paths, switch: Some(to), .. }
                        if paths.iter().any(|g| glob_matches(g, text.as_bytes())) =>
                    {
                        policy.blocks.iter().find(|b| b.name == *to)
                    }
                    _ => None,
                })
            };
            let attached = || policy.blocks.iter().filter(|b| b.kind == BlockKind::Profile).find(selected);
            let chosen = match profile {
                None => attached(),
                Some(_) if at_exec => switch(),
                Some(_) => None,
            };
            profile = chosen.map(|b| &*b.name).or(profile);
            let before = subject;
            subject = match at_exec {
                true => tables.kernel.after_exec(subject, text.as_bytes()),
                false => tables.kernel.after_unit(subject, text.as_bytes()),
            };
            changes += usize::from(before != subject);
            let info = &tables.metadata.subjects[subject as usize - 1];
            let host = |g: &&str| tables.metadata.blocks.iter().any(|b| b.host && b.name == **g && b.kind == "guard");
            assert_eq!(info.profile.as_deref(), profile, "seed {seed} {text}");
            let without_host: Vec<&str> = guards.iter().copied().filter(|g| !host(g)).collect();
            assert_eq!(info.key, format!("{}|{}", profile.unwrap_or(""), without_host.join(",")));
        }
    }
    assert!(changes > 300, "{changes}");
}

#[test]
fn the_same_policy_gives_the_same_bytes() {
    for seed in 0..20 {
        let bytes = || {
            let policy = random::policy(&mut Random(seed));
            compile(&policy, &options()).unwrap().to_bytes().unwrap()
        };
        assert_eq!(bytes(), bytes());
        let read = Tables::read(&bytes()).unwrap();
        assert_eq!(read.to_bytes().unwrap(), bytes());
    }
}
