//! Tables for a user ≡ the reference evaluator for it, and what the kernel decides there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kiln_base::abi::layout::{S_USER, S_VARIES};
use kiln_base::abi::metadata::ImageInfo;
use kiln_base::abi::walk::Verdict;
use kiln_base::model::{KernelOp, Verb};
use kiln_base::window::OpenTimes;

use super::decide::Decide;
use super::laws::{attachment, evaluated_for, in_quarantine, options, refused, said, target, wanted};
use super::native::{expected, of_host, request, resolved};
use super::random::{self, Random};
use super::*;
use crate::policy::eval::{Atom, Attachment, Evaluator, Task};
use crate::policy::glob::Matcher;
use crate::policy::normal::*;

fn compiled(policy: &Policy, seed: u64) -> Option<Tables> {
    match compile_for(policy, &options(), Image { users: &Users::of_passwd(random::PASSWD), info: None }) {
        Ok(tables) => Some(tables),
        // Nine windows and selectors for one subject.
        Err(CompileError::Windows { .. }) => None,
        Err(e) => panic!("seed {seed}: {e} {e:?}\n{policy:#?}"),
    }
}

/// What a subject's blocks are for a user: its own as far as they are of that user, and without a profile the one that
/// the user brings.
fn of_user(policy: &Policy, all: &Attachment, user: &str) -> Attachment {
    let matches = |block: &Block, alone: bool| {
        block.subjects.iter().any(|line| {
            let mut users = line.iter().filter(|s| s.key == SelectorKey::User);
            let all = users.all(|s| Matcher::new(&s.pattern.0).unwrap().matches(user.as_bytes()));
            all && (!alone || line.iter().all(|s| s.key == SelectorKey::User))
        })
    };
    let own = all.profile.filter(|n| matches(&policy.blocks[*n], false));
    let profiles = policy.blocks.iter().enumerate().filter(|(_, b)| b.kind == BlockKind::Profile);
    let brought = profiles.filter(|(_, b)| matches(b, true)).map(|(n, _)| n).next();
    Attachment {
        profile: own.or(brought),
        guards: all.guards.iter().copied().filter(|n| matches(&policy.blocks[*n], false)).collect(),
    }
}

#[test]
fn tables_decide_for_each_user_as_the_evaluator_does() {
    let (mut words, mut apart, mut by_user, mut compiles) = (BTreeMap::new(), 0, 0, 0);
    for seed in 0..100 {
        let mut r = Random(seed);
        let policy = random::user_policy(&mut r);
        let Some(tables) = compiled(&policy, seed) else { continue };
        compiles += 1;
        let evaluator = Evaluator::new(&policy).unwrap();
        let times = OpenTimes::new(tables.metadata.windows.iter().map(|w| (&w.name, &w.window))).unwrap();
        for _ in 0..300 {
            let (verb, asked) = random::request(&mut r);
            let subject = 1 + r.below(tables.metadata.subjects.len()) as u32;
            let Some(target) = target(&asked).filter(|_| subject != 2) else { continue };
            let atom = Atom { verb, target };
            let at = Timestamp::from_second(random::instant(&mut r)).unwrap();
            let (uid, name) = random::user(&mut r);
            let decide = |open, user| {
                tables.kernel.verdict(tables.kernel.deciding(subject, open, user), verb, &wanted(&asked)).unwrap()
            };
            let attachment = of_user(&policy, &attachment(&policy, &tables, subject), name);
            let task = Task { user: Some(name.to_owned()), ..Task::default() };
            let inside = tables.metadata.subjects[subject as usize - 1].quarantined() && refused(&atom);
            let expect = evaluated_for(&policy, &evaluator, &attachment, &task, &atom, at);
            let expect = if inside { in_quarantine(expect) } else { expect };
            let open = Some(times.open(at));
            let now = decide(open, Some(uid));
            let context = || format!("seed {seed} subject {subject} {verb} {asked:?} {at} {name}\n{policy:#?}");
            assert_eq!(said(now), expect, "{}", context());
            // What is not known is never more than what is.
            for (open, user) in [(open, None), (None, Some(uid)), (None, None)] {
                assert!(now.permits() || !decide(open, user).permits(), "it fails open: {}", context());
            }
            let s = tables.kernel.subject(subject).unwrap();
            assert!(now == Verdict::Allow || s.verbs >> verb as u8 & 1 != 0, "a quick yes would hide it");
            apart += usize::from(now != decide(open, None));
            by_user += usize::from(s.flags & S_USER != 0);
            *words.entry(said(now).0).or_insert(0) += 1;
        }
    }
    assert!(["allow", "deny", "would", "watch"].iter().all(|w| words[w] > 60), "{words:?}");
    assert!(apart > 300 && by_user > 5000 && compiles > 60, "{apart} {by_user} {compiles}");
}

#[test]
#[ignore = "loads a BPF program, for which it must be root; scripts/test runs it"]
fn the_kernel_decides_for_each_user_as_the_tables_say() {
    let mut decide = Decide::new();
    let (mut apart, mut unsure, from, until) = (0, 0, 1_767_225_600, 1_767_225_600 + 300 * 86_400);
    for seed in 3000..3100 {
        let mut r = Random(seed);
        let policy = random::user_policy(&mut r);
        let Some(tables) = compiled(&policy, seed) else { continue };
        let times = OpenTimes::new(tables.metadata.windows.iter().map(|w| (&w.name, &w.window))).unwrap();
        decide.load(&tables.kernel.to_bytes());
        let schedule = times.schedule(from, until, 4096);
        decide.schedule(schedule.from, schedule.until, &schedule.openings);
        for _ in 0..300 {
            let (verb, asked) = resolved(random::request(&mut r));
            let subject = 1 + r.below(tables.metadata.subjects.len()) as u32;
            let now = if r.one_in(4) { 0 } else { random::instant(&mut r) };
            let user = Some(random::user(&mut r).0).filter(|_| !r.one_in(8));
            let open = schedule.open(now);
            let index = tables.kernel.deciding(subject, open, user);
            let verdict = tables.kernel.verdict(index, verb, &wanted(&asked)).unwrap();
            let asking = super::decide::Request { now: now as u32, user, ..request(subject, verb, &asked) };
            let context = format!("seed {seed} subject {subject} {verb} {asked:?} {now} {open:?} {user:?}");
            assert_eq!(decide.ask(&asking), of_host(expected(verdict, verb), subject), "{context}");
            let varies = tables.kernel.subject(subject).unwrap().flags & S_VARIES;
            apart += usize::from(index != subject);
            unsure += usize::from(varies == S_VARIES && open.is_none());
        }
    }
    assert!(apart > 10_000 && unsure > 500, "{apart} {unsure}");
}

/// A policy of one rule or subject that hangs on a user.
fn of(text: &str) -> Result<Tables, CompileError> {
    let policy = crate::policy::load(&[crate::pdl::Source::new("t.pdl", text)], &crate::pdl::NoFiles).unwrap();
    compile_for(&policy, &options(), Image { users: &Users::of_passwd(random::PASSWD), info: None })
}

fn reasons(text: &str) -> String {
    match of(text) {
        Err(CompileError::Gaps(gaps)) => gaps.iter().map(|g| format!("{}; {}\n", g.reason, g.mend)).collect(),
        Err(e) => e.to_string(),
        Ok(_) => "nothing".to_owned(),
    }
}

#[test]
fn what_cannot_hang_on_a_user_is_refused() {
    let profile = |subject: &str, rules: &str| format!("pdl 1; profile p {{ subject {subject}; {rules} }}");
    let a = r#"unit "a.service""#;
    for (text, said) in [
        (profile(a, r#"allow read "/a" by user "dave";"#), "no user for `user \"dave\"`"),
        (profile(a, r#"allow read "/a" by user "007";"#), "not the number of a user"),
        (profile(a, r#"allow read "/a" by exec "/bin/a";"#), "by which program"),
        (profile(a, r#"allow read "/a" by unit "a.service";"#), "which one it is"),
        (profile(a, r#"allow read "/a" by host "db1";"#), "the name of the machine"),
        (
            profile(a, r#"allow exec "/a" by user "bob" as q;"#)
                .replace("by user \"bob\" as q", "as q by user \"bob\"")
                + r#" profile q { subject exec "/q"; }"#,
            "switch whoever asks",
        ),
        (profile(r#"user "*""#, ""), "every task of the host"),
        (profile(r#"user "0""#, ""), "all that root does"),
        (profile(r#"user "bob""#, "") + r#" profile q { subject user "2"; }"#, "are of one user"),
        (profile(&format!("{a}, user \"bob\""), "") + r#" profile q { subject exec "/q"; }"#, "as another user"),
        (
            profile(&format!("{a}, user \"bob\""), "") + &format!("profile q {{ subject {a}, user \"carol\"; }}"),
            "make one profile of them",
        ),
        (profile(r#"unit "*", user "bob""#, ""), "names slices"),
        (profile(&format!("{a}, user \"bob\"; subject unit \"b.service\""), ""), "not with the others"),
        (profile(&format!("{a}, user \"bob\""), "limit pids 10;"), "neither one service"),
    ] {
        let found = reasons(&text);
        assert!(found.contains(said), "{text}\n{found}");
    }
    let without = crate::policy::load(
        &[crate::pdl::Source::new("t.pdl", &profile(a, r#"allow read "/a" by user "bob";"#))],
        &crate::pdl::NoFiles,
    );
    let Err(CompileError::Gaps(gaps)) = compile(&without.unwrap(), &options()) else { panic!("it needs the image") };
    assert!(gaps[0].mend.contains("--image"), "{gaps:?}");
}

/// Whom a unit's profile binds, and on which machines: the lines that mean nothing on a machine ask for no user there.
#[test]
fn users_hang_on_the_lines_that_hold_on_the_machine() {
    let image = ImageInfo { name: Some("acme:1".to_owned()), ..ImageInfo::default() };
    let of = |text: &str| {
        let policy = crate::policy::load(&[crate::pdl::Source::new("t.pdl", text)], &crate::pdl::NoFiles).unwrap();
        let users = Users::of_passwd(random::PASSWD);
        compile_for(&policy, &options(), Image { users: &users, info: Some(&image) })
    };
    let a = r#"unit "a.service""#;
    let deny = "deny kernel bpf;";
    // Everybody on one kind of host, bob on another.
    let text = format!(r#"pdl 1; guard g {{ subject host "db*", {a}; subject host "web*", user "bob", {a}; {deny} }}"#);
    let tables = of(&text).unwrap();
    let denies = |host: &str, user: u32| {
        let own = tables.clone().on_host(host.as_bytes());
        let subject = own.kernel.after_unit(1, b"a.service");
        let at = own.kernel.deciding(subject, None, Some(user));
        !own.kernel.verdict(at, Verb::Kernel, &wanted(&random::Asked::Kernel(KernelOp::Bpf))).unwrap().permits()
    };
    for (host, bob, carol) in [("db", true, true), ("web", true, false), ("other", false, false)] {
        assert_eq!((denies(host, 2), denies(host, 3)), (bob, carol), "{host}");
    }
    let said = |text: &str| match of(text) {
        Err(CompileError::Gaps(gaps)) => gaps.iter().map(|g| format!("{}; {}\n", g.reason, g.mend)).collect(),
        Err(e) => panic!("{e}"),
        Ok(_) => String::new(),
    };
    let profile = |name: &str, subject: &str| format!("profile {name} {{ subject {subject}; governs exec; }} ");
    for (first, second, reason) in [
        // What is more specific and of some users would leave the others without a profile.
        (format!(r#"image "acme*", user "bob", {a}"#), a.to_owned(), "make one profile of them"),
        (format!(r#"image "acme*", {a}"#), format!(r#"{a}, user "bob""#), ""),
        (format!(r#"image "other", user "bob", {a}"#), a.to_owned(), ""),
        (r#"image "acme*", user "bob""#.to_owned(), a.to_owned(), "leave `image` out of the line"),
        (r#"host "web*", user "bob""#.to_owned(), a.to_owned(), ""),
        (r#"host "web*", user "bob""#.to_owned(), r#"host "*b*", user "2""#.to_owned(), "are of one user"),
        (r#"host "web*", user "bob""#.to_owned(), r#"host "db*", user "2""#.to_owned(), ""),
    ] {
        let found: String = said(&format!("pdl 1; {}{}", profile("p", &first), profile("q", &second)));
        assert!(found.contains(reason) && found.is_empty() == reason.is_empty(), "{first} / {second}\n{found}");
    }
}
