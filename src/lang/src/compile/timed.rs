//! Tables at an instant ≡ the reference evaluator at it, and what the kernel decides there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kiln_base::abi::layout::{OPENINGS, S_TIMED};
use kiln_base::abi::walk::Verdict;
use kiln_base::window::OpenTimes;

use super::decide::Decide;
use super::laws::{attachment, evaluated_at, in_quarantine, options, refused, said, target, wanted};
use super::native::{expected, of_host, request, resolved};
use super::random::{self, Random};
use super::*;
use crate::policy::eval::{Atom, Evaluator};
use crate::policy::normal::*;

fn times(tables: &Tables) -> OpenTimes {
    OpenTimes::new(tables.metadata.windows.iter().map(|w| (&w.name, &w.window))).unwrap()
}

/// What holds where nobody knows which windows are open, written as a policy: a window that is not there is closed.
fn unknown(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    let never = || "never".to_owned();
    for block in &mut policy.blocks {
        match block.kind {
            BlockKind::Guard => block.active = None,
            BlockKind::Profile => block.active.iter_mut().for_each(|a| a.window = never()),
        }
        for rule in &mut block.rules {
            match rule.effect {
                Effect::Allow if !rule.conditions.is_empty() => rule.conditions = vec![Condition::During(never())],
                _ => rule.conditions.clear(),
            }
        }
    }
    policy
}

#[test]
fn tables_decide_at_each_instant_as_the_evaluator_does() {
    let (mut words, mut apart, mut timed) = (BTreeMap::new(), 0, 0);
    for seed in 0..120 {
        let mut r = Random(seed);
        let policy = random::timed_policy(&mut r);
        let tables = compile(&policy, &options()).unwrap_or_else(|e| panic!("seed {seed}: {e} {e:?}"));
        let (evaluator, times) = (Evaluator::new(&policy).unwrap(), times(&tables));
        let closed = unknown(&policy);
        let failing = Evaluator::new(&closed).unwrap();
        for _ in 0..300 {
            let (verb, asked) = random::request(&mut r);
            let subject = 1 + r.below(tables.metadata.subjects.len()) as u32;
            let Some(target) = target(&asked).filter(|_| subject != 2) else { continue };
            let atom = Atom { verb, target };
            let at = Timestamp::from_second(random::instant(&mut r)).unwrap();
            let decide =
                |open| tables.kernel.verdict(tables.kernel.deciding(subject, open, None), verb, &wanted(&asked));
            let attachment = attachment(&policy, &tables, subject);
            let context = || format!("seed {seed} subject {subject} {verb} {asked:?} {at}\n{policy:#?}");
            let now = decide(Some(times.open(at))).unwrap();
            let inside = tables.metadata.subjects[subject as usize - 1].quarantined() && refused(&atom);
            let within = |outside| if inside { in_quarantine(outside) } else { outside };
            let expect = within(evaluated_at(&policy, &evaluator, &attachment, &atom, at));
            assert_eq!(said(now), expect, "{}", context());
            let unknown = decide(None).unwrap();
            let expect = within(evaluated_at(&closed, &failing, &attachment, &atom, at));
            assert_eq!(said(unknown), expect, "unknown: {}", context());
            assert!(now.permits() || !unknown.permits(), "it fails open: {}", context());
            let s = tables.kernel.subject(subject).unwrap();
            for verdict in [now, unknown] {
                assert!(verdict == Verdict::Allow || s.verbs >> verb as u8 & 1 != 0, "a quick yes would hide it");
            }
            apart += usize::from(now != unknown);
            timed += usize::from(s.flags & S_TIMED != 0);
            *words.entry(said(now).0).or_insert(0) += 1;
        }
    }
    assert!(["allow", "deny", "would", "watch"].iter().all(|w| words[w] > 60), "{words:?}");
    assert!(apart > 500 && timed > 10_000, "{apart} {timed}");
}

#[test]
#[ignore = "loads a BPF program, for which it must be root; scripts/test runs it"]
fn the_kernel_decides_at_each_instant_as_the_tables_say() {
    let mut decide = Decide::new();
    let (mut apart, mut past) = (0, 0);
    // 2026-01-01 for 300 days; the instants go further.
    let (from, until) = (1_767_225_600, 1_767_225_600 + 300 * 86_400);
    for seed in 2000..2100 {
        let mut r = Random(seed);
        let policy = random::timed_policy(&mut r);
        let tables = compile(&policy, &options()).unwrap();
        let times = times(&tables);
        decide.load(&tables.kernel.to_bytes());
        // Also one that ends because it is full.
        let most = if r.one_in(3) { 1 + r.below(100) } else { OPENINGS };
        let schedule = times.schedule(from, until, most);
        decide.schedule(schedule.from, schedule.until, &schedule.openings);
        for _ in 0..300 {
            let (verb, asked) = resolved(random::request(&mut r));
            let subject = 1 + r.below(tables.metadata.subjects.len()) as u32;
            let now = match r.below(4) {
                0 => r.pick(&schedule.openings).0 + r.below(3) as i64 - 1,
                1 => *r.pick(&[from - 1, from, schedule.until - 1, schedule.until, 0]),
                _ => random::instant(&mut r),
            };
            let open = schedule.open(now);
            let index = tables.kernel.deciding(subject, open, None);
            let verdict = tables.kernel.verdict(index, verb, &wanted(&asked)).unwrap();
            let asking = super::decide::Request { now: now as u32, ..request(subject, verb, &asked) };
            let context = format!("seed {seed} subject {subject} {verb} {asked:?} {now} {open:?}");
            assert_eq!(decide.ask(&asking), of_host(expected(verdict, verb), subject), "{context}");
            apart += usize::from(index != subject);
            past += usize::from(open.is_none());
        }
    }
    assert!(apart > 10_000 && past > 3000, "{apart} {past}");
}

/// What a week shows is what a year shows: no moment is without a subject of its own.
#[test]
fn every_moment_is_foreseen() {
    let mut seen = 0;
    for seed in 500..540 {
        let mut r = Random(seed);
        let policy = random::timed_policy(&mut r);
        let tables = compile(&policy, &options()).unwrap();
        let times = times(&tables);
        // All the openings of more than a year, and random instants of thirty.
        let schedule = times.schedule(1_767_225_600, 1_767_225_600 + 400 * 86_400, 100_000);
        let far = (0..200).map(|_| r.below(30 * 365 * 86_400) as i64 + 1_767_225_600);
        let far = far.map(|at| times.open(Timestamp::from_second(at).unwrap())).collect::<Vec<u64>>();
        for open in schedule.openings.iter().map(|(_, open)| *open).chain(far) {
            for subject in 1..tables.kernel.header.n_subjects {
                let s = tables.kernel.subject(subject).unwrap();
                if s.flags & S_TIMED != 0 {
                    assert_ne!(tables.kernel.deciding(subject, Some(open), None), subject, "seed {seed} {open:b}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 10_000, "{seen}");
}
