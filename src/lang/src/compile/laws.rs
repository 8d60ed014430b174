//! Tables ≡ the reference evaluator.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kiln_base::abi::layout;
use kiln_base::abi::walk::{Object as Wanted, Verdict, walkable};
use kiln_base::model::{Action, Digest, Mode, Severity, VerbSet, cgroup_name};

use super::random::{self, Asked, Random};
use super::*;
use crate::policy::eval::{Atom, Attachment, Cause, Evaluator, Refusal, Target, Task};
use crate::policy::glob::Matcher;
use crate::policy::normal::*;

pub(crate) fn options() -> Options {
    Options { policy: Digest::of(b"policy"), serial: 7, kernel: KernelVersion::BASELINE }
}

/// A request in the words of the tables.
pub(crate) fn wanted(asked: &Asked) -> Wanted<'_> {
    match asked {
        Asked::Path(p) | Asked::Unix(p) => Wanted::Path(p),
        Asked::Net(proto, address, port) => Wanted::Net { protocol: *proto as u8, address: *address, port: *port },
        Asked::Capability(n) => Wanted::Capability(*n),
        Asked::Kernel(op) => Wanted::Kernel(*op),
        Asked::Unresolved => Wanted::Unresolved,
        Asked::UnknownAddress => Wanted::UnknownAddress,
    }
}

/// The same in the words of the evaluator. None: the object could not be resolved, of which the evaluator knows nothing.
pub(super) fn target(asked: &Asked) -> Option<Target> {
    Some(match asked {
        Asked::Path(p) | Asked::Unix(p) if !walkable(p) => return None,
        Asked::Path(p) => Target::Path(p.clone()),
        Asked::Unix(p) => Target::Unix(p.clone()),
        Asked::Net(proto, address, port) => {
            Target::Ip { proto: *proto, address: Some(*address), name: None, port: *port }
        }
        Asked::Capability(n) => Target::Capability(*n),
        Asked::Kernel(op) => Target::Kernel(*op),
        Asked::Unresolved | Asked::UnknownAddress => return None,
    })
}

/// The verdict's word, the rule's number, severity and action.
pub(super) type Said = (&'static str, Option<(u32, u8, u8)>);

pub(super) fn said(verdict: Verdict) -> Said {
    let of = |o: layout::Outcome| Some((o.rule, o.severity, o.action));
    match verdict {
        Verdict::Allow => ("allow", None),
        Verdict::Watched(o) => ("watch", of(o)),
        Verdict::WouldDeny(o) => ("would", of(o)),
        Verdict::Denied(o) => ("deny", of(o)),
    }
}

/// The number of a rule, or of a profile's default: each block's rules, then its default.
fn number(policy: &Policy, block: usize, rule: Option<usize>) -> u32 {
    let before: usize =
        policy.blocks[..block].iter().map(|b| b.rules.len() + usize::from(b.kind == BlockKind::Profile)).sum();
    (before + rule.unwrap_or(policy.blocks[block].rules.len())) as u32
}

fn worst(policy: &Policy, word: &'static str, refusals: &[Refusal], deciding: Option<&Refusal>) -> Option<Said> {
    let rule = match deciding?.cause {
        Cause::Rule(n) => Some(n),
        _ => None,
    };
    let severity = refusals.iter().map(|r| r.severity).max()?;
    let action = refusals.iter().map(|r| r.action).max()?;
    Some((word, Some((number(policy, deciding?.block, rule), severity as u8, action as u8))))
}

/// What the evaluator says.
fn evaluated(policy: &Policy, evaluator: &Evaluator<'_>, attachment: &Attachment, atom: &Atom) -> Said {
    evaluated_at(policy, evaluator, attachment, atom, Timestamp::UNIX_EPOCH)
}

/// The same at an instant.
pub(super) fn evaluated_at(
    policy: &Policy,
    evaluator: &Evaluator<'_>,
    attachment: &Attachment,
    atom: &Atom,
    at: Timestamp,
) -> Said {
    evaluated_for(policy, evaluator, attachment, &Task::default(), atom, at)
}

/// The same of a task.
pub(super) fn evaluated_for(
    policy: &Policy,
    evaluator: &Evaluator<'_>,
    attachment: &Attachment,
    task: &Task,
    atom: &Atom,
    at: Timestamp,
) -> Said {
    let v = evaluator.decide(attachment, task, atom, at);
    let denied = worst(policy, "deny", &v.refusals, v.deciding());
    let watched = || {
        let severity = |r: &crate::policy::eval::RuleRef| {
            policy.blocks[r.block].rules[r.rule].outcome.severity.unwrap_or(Severity::Low)
        };
        let rule = v.watched.iter().rev().max_by_key(|r| severity(r))?;
        Some(("watch", Some((number(policy, rule.block, Some(rule.rule)), severity(rule) as u8, 0))))
    };
    denied.or_else(|| worst(policy, "would", &v.would, v.deciding_would())).or_else(watched).unwrap_or(("allow", None))
}

/// What must be said of an object that could not be resolved: any `deny` of the verb on objects of its kind might be
/// about it, no `allow` is.
fn unresolved(policy: &Policy, attachment: &Attachment, verb: kiln_base::model::Verb, address: bool) -> &'static str {
    let refuses = |enforcing: bool| {
        attachment.blocks().map(|n| &policy.blocks[n]).filter(|b| (b.mode == Mode::Enforce) == enforcing).any(|b| {
            let speaks = |r: &Rule| match &r.object {
                Object::Net { verbs, .. } => address && verbs.contains(verb),
                Object::File { verbs, .. } | Object::Unix { verbs, .. } => !address && verbs.contains(verb),
                _ => false,
            };
            let governed = b.kind == BlockKind::Profile && b.governs.contains(verb);
            governed || b.rules.iter().any(|r| r.effect == Effect::Deny && speaks(r))
        })
    };
    match (refuses(true), refuses(false)) {
        (true, _) => "deny",
        (_, true) => "would",
        _ => "allow",
    }
}

/// What quarantine refuses: its verbs, and what goes round them.
pub(super) fn refused(atom: &Atom) -> bool {
    use crate::policy::detour;
    VerbSet::QUARANTINE.contains(atom.verb)
        || match atom.target {
            Target::Kernel(op) => detour::governs_op(VerbSet::QUARANTINE, op),
            Target::Capability(n) => detour::governs_capability(VerbSet::QUARANTINE, n),
            _ => false,
        }
}

/// A refusal by no rule, unless there is one that kills.
pub(super) fn in_quarantine(outside: Said) -> Said {
    match outside {
        ("deny", Some((.., action))) if action == Action::Kill as u8 => outside,
        _ => ("deny", Some((u32::MAX, Severity::High as u8, Action::Alert as u8))),
    }
}

/// The blocks that the metadata names for a subject.
pub(super) fn attachment(policy: &Policy, tables: &Tables, subject: u32) -> Attachment {
    let info = &tables.metadata.subjects[subject as usize - 1];
    let find = |kind: BlockKind, name: &String| policy.blocks.iter().position(|b| b.kind == kind && b.name == *name);
    Attachment {
        profile: info.profile.as_ref().and_then(|p| find(BlockKind::Profile, p)),
        guards: info.guards.iter().filter_map(|g| find(BlockKind::Guard, g)).collect(),
    }
}

#[test]
fn tables_decide_as_the_evaluator_does() {
    let (mut requests, mut quarantined, mut words) = (0, 0, BTreeMap::new());
    for seed in 0..300 {
        let mut r = Random(seed);
        let policy = random::policy(&mut r);
        let tables = compile(&policy, &options()).unwrap_or_else(|e| panic!("seed {seed}: {e} {e:?}"));
        let evaluator = Evaluator::new(&policy).unwrap();
        let n = tables.metadata.subjects.len();
        for _ in 0..400 {
            let (verb, asked) = random::request(&mut r);
            let subject = 1 + r.below(n) as u32;
            let verdict = tables.kernel.verdict(subject, verb, &wanted(&asked)).unwrap();
            requests += 1;
            if subject == 2 {
                assert!(matches!(verdict, Verdict::Denied(_)), "the sentinel was permitted {verb} {asked:?}");
                continue;
            }
            let attachment = attachment(&policy, &tables, subject);
            let inside = tables.metadata.subjects[subject as usize - 1].quarantined();
            let context = || format!("seed {seed} subject {subject} {verb} {asked:?}\n{policy:#?}");
            match target(&asked) {
                Some(target) => {
                    let atom = Atom { verb, target };
                    let outside = evaluated(&policy, &evaluator, &attachment, &atom);
                    let expected = if inside && refused(&atom) { in_quarantine(outside) } else { outside };
                    assert_eq!(said(verdict), expected, "{}", context());
                    quarantined += usize::from(said(verdict) != outside);
                }
                None => {
                    let address = asked == Asked::UnknownAddress;
                    let outside = unresolved(&policy, &attachment, verb, address);
                    let expected = if inside && VerbSet::QUARANTINE.contains(verb) { "deny" } else { outside };
                    assert_eq!(said(verdict).0, expected, "{}", context());
                }
            }
            *words.entry(said(verdict).0).or_insert(0) += 1;
            if let Verdict::Denied(o) | Verdict::WouldDeny(o) = verdict {
                match tables.metadata.rules.get(o.rule as usize) {
                    Some(rule) => assert_eq!(o.mode, policy.blocks[rule.block as usize].mode as u8),
                    None => assert!(inside && o.mode == Mode::Enforce as u8),
                }
            }
            if verdict != Verdict::Allow {
                let verbs = tables.kernel.subject(subject).unwrap().verbs;
                assert!(verbs >> verb as u8 & 1 != 0, "a quick yes would hide {verdict:?}");
            }
        }
    }
    assert!(requests >= 100_000 && quarantined > 3000, "{requests} {quarantined}");
    // The law would be empty if one answer were all there is.
    assert!(["allow", "deny", "would", "watch"].iter().all(|w| words[w] > 300), "{words:?}");
}

/// What the guards of a subject refuse by the machine's name is what a task with these guards and no profile is refused.
#[test]
fn guards_decide_alone_what_they_decide() {
    let mut words = BTreeMap::new();
    for seed in 0..300 {
        let mut r = Random(seed);
        let policy = random::policy(&mut r);
        let tables = compile(&policy, &options()).unwrap();
        let evaluator = Evaluator::new(&policy).unwrap();
        for _ in 0..400 {
            let (verb, asked) = random::request(&mut r);
            let subject = 1 + r.below(tables.metadata.subjects.len()) as u32;
            let (Asked::Path(path) | Asked::Unix(path)) = &asked else { continue };
            let decision = tables.kernel.guard_decision(subject, path).unwrap();
            let has = |mask: u16| mask >> verb as u8 & 1 != 0;
            let word = match () {
                () if has(decision.deny) => "deny",
                () if has(decision.would) => "would",
                () if has(decision.watch) => "watch",
                () => "allow",
            };
            if subject == 2 {
                assert_eq!(word, "allow", "the sentinel is no guard's");
                continue;
            }
            let attachment = Attachment { profile: None, ..attachment(&policy, &tables, subject) };
            let expect = match target(&asked) {
                Some(target) => evaluated(&policy, &evaluator, &attachment, &Atom { verb, target }).0,
                None => unresolved(&policy, &attachment, verb, false),
            };
            assert_eq!(word, expect, "seed {seed} subject {subject} {verb} {asked:?}\n{policy:#?}");
            if word != "allow" {
                let verbs = tables.kernel.subject(subject).unwrap().guard_verbs;
                assert!(verbs >> verb as u8 & 1 != 0, "a quick yes would hide {word}");
            }
            *words.entry(word).or_insert(0) += 1;
        }
    }
    assert!(["allow", "deny", "would", "watch"].iter().all(|w| words[w] > 100), "{words:?}");
}

#[test]
fn a_narrowing_is_seen() {
    use kiln_base::abi::narrow::Narrowing;
    use kiln_base::model::Verb;
    let verbs = 1u16 << Verb::Read as u8 | 1 << Verb::Modify as u8;
    let (mut seen, mut same) = (0, 0);
    for seed in 0..80 {
        let mut r = Random(seed);
        let [before, after] = [(); 2].map(|()| compile(&random::policy(&mut r), &options()).unwrap().kernel);
        for _ in 0..200 {
            let (verb, asked) = random::request(&mut r);
            let [old, new] = [&before, &after].map(|k| 1 + r.below(k.header.n_subjects as usize - 1) as u32);
            let permits = |k: &kiln_base::abi::Kernel, s| k.verdict(s, verb, &wanted(&asked)).unwrap().permits();
            if !matches!(verb, Verb::Read | Verb::Modify) || !permits(&before, old) || permits(&after, new) {
                continue;
            }
            assert!(
                Narrowing::new(&before, &after).narrows(old, new, verbs),
                "seed {seed} {old} {new} {verb} {asked:?}"
            );
            seen += 1;
        }
        let mut itself = Narrowing::new(&before, &before);
        for subject in 1..before.header.n_subjects {
            assert!(!itself.narrows(subject, subject, verbs), "seed {seed} subject {subject}");
            same += 1;
        }
        // The sentinel's subject is denied everything: nothing comes after it that is narrower.
        assert!(!itself.narrows(2, 1, verbs));
    }
    assert!(seen > 150 && same > 150, "{seen} {same}");
}

#[test]
fn taking_memory_or_tracing_away_is_a_narrowing() {
    use kiln_base::abi::narrow::Narrowing;
    use kiln_base::model::KernelOp::{self, Clock, ExecMemory, Ptrace};
    let of = |ops: &[KernelOp]| {
        let rule =
            Rule { object: Object::Kernel { ops: ops.to_vec() }, ..super::tests::file_rule(Effect::Allow, "/a") };
        let blocks = vec![super::tests::block(BlockKind::Profile, vec![rule])];
        compile(&Policy { edition: 1, windows: BTreeMap::new(), blocks }, &options()).unwrap().kernel
    };
    let narrows = |before: &[KernelOp], after: &[KernelOp]| Narrowing::new(&of(before), &of(after)).narrows(3, 3, 3);
    let both = [Ptrace, ExecMemory];
    assert!(narrows(&both, &[Ptrace]) && narrows(&both, &[ExecMemory]));
    assert!(!narrows(&[Ptrace], &both) && !narrows(&[Ptrace, Clock], &[Ptrace]));
}

#[test]
fn a_protocol_without_a_name_meets_the_default() {
    for seed in 0..50 {
        let mut r = Random(seed);
        let tables = compile(&random::policy(&mut r), &options()).unwrap();
        for subject in 1..=tables.metadata.subjects.len() as u32 {
            let key = kiln_base::abi::walk::net_key(255, [7; 16], 80);
            let default = tables.kernel.subject(subject).unwrap().net_default;
            assert_eq!(tables.kernel.net_decision(subject, &key), tables.kernel.decision(default));
        }
    }
}

fn glob_matches(glob: &Glob, text: &str) -> bool {
    Matcher::new(&glob.0).unwrap().matches(text.as_bytes())
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
            let selected =
                |b: &&Block| b.subjects.iter().flatten().any(|s| s.key == key && glob_matches(&s.pattern, &text));
            for b in policy.blocks.iter().filter(|b| b.kind == BlockKind::Guard).filter(selected) {
                guards.insert(&b.name);
            }
            let switch = || {
                let own = policy.blocks.iter().find(|b| b.kind == BlockKind::Profile && Some(&*b.name) == profile)?;
                own.rules.iter().find_map(|rule| match &rule.object {
                    Object::File { paths, except, switch: Some(to), .. }
                        if paths.iter().any(|g| glob_matches(g, &text))
                            && !except.iter().any(|g| glob_matches(g, &text)) =>
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
                false => tables.kernel.after_unit(subject, cgroup_name(&text).as_bytes()),
            };
            changes += usize::from(before != subject);
            let info = &tables.metadata.subjects[subject as usize - 1];
            let host =
                |g: &&str| tables.metadata.blocks.iter().any(|b| b.host && b.name == **g && b.kind == BlockKind::Guard);
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

#[test]
fn both_readings_of_globs_are_one() {
    use crate::automata::Pattern;
    let mut r = Random(1);
    for _ in 0..4000 {
        let glob = random::glob(&mut r);
        let (a, b) = (Pattern::parse(&glob.0).unwrap(), Matcher::new(&glob.0).unwrap());
        for _ in 0..10 {
            let path = random::path(&mut r);
            assert_eq!(a.matches(&path), b.matches(&path), "{} {path:?}", glob.0);
        }
    }
    for text in
        ["/a[", "/[]", "/[!]", "/{a", "/a}", "/a\\", "/[z-a]", "/a]", "/a,b", "/{,a}", "/[a-]", "/[\\]]", "/{a,b}*"]
    {
        assert_eq!(Pattern::parse(text).is_ok(), Matcher::new(text).is_ok(), "{text}");
    }
}

#[test]
fn an_object_is_read_as_it_is_written() {
    use crate::policy::json;
    let tidy = |globs: &[Glob]| globs.iter().cloned().collect::<BTreeSet<_>>();
    let (mut excepted, mut r) = (0, Random(7));
    for _ in 0..400 {
        for mut rule in random::policy(&mut r).blocks.into_iter().flat_map(|b| b.rules) {
            if rule.object.patterns().0.is_empty() {
                continue;
            }
            rule.outcome = Default::default();
            if let Object::Unix { verbs, .. } = &mut rule.object {
                // The language has one network verb in a rule.
                *verbs = verbs.iter().take(1).collect();
            }
            let unit = |name: &str| vec![Selector { key: SelectorKey::Unit, pattern: Glob(name.to_owned()) }];
            let block = |name: String, rules: Vec<Rule>| Block {
                kind: BlockKind::Profile,
                subjects: vec![unit(&name)],
                name,
                mode: Mode::Enforce,
                governs: VerbSet::ALL,
                active: None,
                on_violation: Default::default(),
                on_violation_of: BTreeMap::new(),
                rules,
                nevers: Vec::new(),
                limits: Vec::new(),
            };
            // A switch has somewhere to lead.
            let mut blocks: Vec<Block> = (0..4).map(|n| block(format!("p{n}"), Vec::new())).collect();
            blocks.push(block("x".to_owned(), vec![rule.clone()]));
            let policy = Policy { edition: 1, windows: BTreeMap::new(), blocks };
            let document = serde_json::to_vec(&json::document(&policy)).unwrap();
            let read = json::read(&document).unwrap_or_else(|e| panic!("{e}"));
            let again = &read.blocks.iter().find(|b| b.name == "x").unwrap().rules[0];
            let ((a, ax), (b, bx)) = (rule.object.patterns(), again.object.patterns());
            assert_eq!((tidy(a), tidy(ax)), (tidy(b), tidy(bx)), "{}", again.text);
            excepted += usize::from(!ax.is_empty());
        }
    }
    assert!(excepted > 100, "{excepted}");
}
