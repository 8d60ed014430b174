//! The semantics of docs/pdl.md, one by one.

use kiln_base::model::Proto;

use super::*;
use crate::pdl::{NoFiles, Source};

fn policy(text: &str) -> Policy {
    super::super::load(&[Source::new("t.pdl", &format!("pdl 1;\n{text}"))], &NoFiles)
        .unwrap_or_else(|e| panic!("{}", e.render(false)))
}

fn unit(name: &str) -> Task {
    Task { unit: Some(name.to_owned()), ..Task::default() }
}

fn on_path(verb: Verb, path: &str) -> Atom {
    Atom { verb, target: Target::Path(path.as_bytes().to_vec()) }
}

fn connect(address: &str, port: u16) -> Atom {
    Atom { verb: Verb::Connect, target: Target::ip(Proto::Tcp, address.parse().unwrap(), port) }
}

const NOON: &str = "2026-01-05T12:00:00Z";

fn ask_at(policy: &Policy, task: &Task, atom: Atom, at: &str) -> Verdict {
    let evaluator = Evaluator::new(policy).unwrap();
    let mut answer = evaluator.evaluate(task, &Operation::Atom(atom), at.parse().unwrap());
    answer.atoms.remove(0).1
}

fn ask(policy: &Policy, task: &Task, atom: Atom) -> Verdict {
    ask_at(policy, task, atom, NOON)
}

#[test]
fn default_deny_covers_what_is_governed() {
    let all = policy(r#"profile p { subject unit "a"; allow read "/a"; }"#);
    assert!(ask(&all, &unit("a"), on_path(Verb::Read, "/a")).allowed());
    let denied = ask(&all, &unit("a"), connect("10.0.0.1", 1));
    assert_eq!(denied.deciding().unwrap().cause, Cause::Default, "a class that is not mentioned is denied");
    let some = policy(r#"profile p { subject unit "a"; governs connect; deny read "/b"; }"#);
    assert!(ask(&some, &unit("a"), on_path(Verb::Read, "/a")).allowed());
    assert!(
        !ask(&some, &unit("a"), on_path(Verb::Read, "/b")).allowed(),
        "a deny holds though the class is not governed"
    );
    assert!(!ask(&some, &unit("a"), connect("10.0.0.1", 1)).allowed());
    assert!(ask(&some, &unit("other"), connect("10.0.0.1", 1)).allowed(), "no block, no verdict");
}

#[test]
fn an_exception_narrows_its_own_rule_and_no_other() {
    let p = policy(
        r#"profile p { subject unit "a"; allow read "/etc/**" except "/etc/s*", "/etc/x/**"; allow read "/etc/s1"; }
           guard g { subject host "*"; deny exec "/tmp/**" except "/tmp/ok"; watch read "/etc/*" except "/etc/b"; }"#,
    );
    let read = |path| ask(&p, &unit("a"), on_path(Verb::Read, path));
    for (path, allowed) in [("/etc/a", true), ("/etc/s1", true), ("/etc/s2", false), ("/etc/x/y", false)] {
        assert_eq!(read(path).allowed(), allowed, "{path}");
    }
    assert_eq!((read("/etc/a").watched.len(), read("/etc/b").watched.len()), (1, 0));
    let exec = |path| ask(&p, &Task::default(), on_path(Verb::Exec, path)).allowed();
    assert!(exec("/tmp/ok") && !exec("/tmp/bad"));
    let p = policy(
        r#"profile p { subject unit "a"; allow exec "/bin/*"; allow exec "/bin/s*" except "/bin/sh" as q; }
           profile q { subject exec "/q"; allow read "/q"; }
           profile s { subject unit "b"; allow connect unix "/run/**" except "/run/x"; }"#,
    );
    let switch = |path| ask(&p, &unit("a"), on_path(Verb::Exec, path)).switch;
    assert_eq!((switch("/bin/sed").as_deref(), switch("/bin/sh")), (Some("q"), None));
    let socket = |path: &str| Atom { verb: Verb::Connect, target: Target::Unix(path.as_bytes().to_vec()) };
    assert!(ask(&p, &unit("b"), socket("/run/y")).allowed() && !ask(&p, &unit("b"), socket("/run/x")).allowed());
}

#[test]
fn what_goes_round_a_class_is_governed_with_it() {
    let of = |op: kiln_base::model::KernelOp| Atom { verb: Verb::Kernel, target: Target::Kernel(op) };
    use kiln_base::model::KernelOp::{Bpf, Chroot, Mount, Ptrace, RawSocket};
    let p = policy(r#"profile p { subject unit "a"; governs read; allow kernel mount; allow read "/a"; }"#);
    for (op, allowed) in [(Bpf, false), (Ptrace, false), (Mount, true), (RawSocket, true), (Chroot, true)] {
        assert_eq!(ask(&p, &unit("a"), of(op)).allowed(), allowed, "{}", op.name());
    }
    let device = |n| Atom { verb: Verb::Capability, target: Target::Capability(n) };
    assert!(!ask(&p, &unit("a"), device(27)).allowed(), "mknod");
    assert!(ask(&p, &unit("a"), device(12)).allowed(), "net_admin");
    let guard = policy(r#"guard g { subject unit "a"; deny read "/a"; }"#);
    assert!(ask(&guard, &unit("a"), of(Ptrace)).allowed(), "a guard refuses what it names");
}

#[test]
fn a_rename_changes_no_switch() {
    let p = policy(
        r#"profile p { subject unit "a"; allow exec "/tool" as q; allow exec "/tmp/*"; allow read, write "/**"; }
           profile q { subject exec "/never"; }"#,
    );
    let evaluator = Evaluator::new(&p).unwrap();
    let allowed = |from: &str, to: &str| {
        let rename = Operation::Rename { from: from.into(), to: to.into() };
        evaluator.evaluate(&unit("a"), &rename, NOON.parse().unwrap()).allowed()
    };
    assert!(!allowed("/tmp/x", "/tool") && !allowed("/tool", "/tmp/x") && allowed("/tmp/x", "/tmp/y"));
    assert!(allowed("/tool", "/out"), "where nothing may be executed, nothing switches");
}

#[test]
fn deny_wins_and_order_does_not_count() {
    for text in [
        r#"profile p { subject unit "a"; allow read "/a/**"; deny read "/a/b"; }"#,
        r#"profile p { subject unit "a"; deny read "/a/b"; allow read "/a/**"; }"#,
    ] {
        let p = policy(text);
        assert!(!ask(&p, &unit("a"), on_path(Verb::Read, "/a/b")).allowed());
        assert!(ask(&p, &unit("a"), on_path(Verb::Read, "/a/c")).allowed());
    }
}

#[test]
fn guards_cannot_be_undone() {
    let p = policy(
        r#"profile p { subject unit "a"; allow write "/**"; }
           guard g { subject host "*"; deny modify "/usr/**" severity high; }
           guard h { subject unit "a"; deny write "/usr/**" then quarantine; }
           guard other { subject unit "b"; deny write "/**"; }"#,
    );
    let verdict = ask(&p, &unit("a"), on_path(Verb::Modify, "/usr/x"));
    assert_eq!(verdict.refusals.len(), 2);
    assert_eq!(verdict.outcome(), Some((Severity::High, Action::Quarantine)), "the highest of each");
    assert_eq!(p.blocks[verdict.deciding().unwrap().block].name, "g", "the highest severity decides");
    assert!(ask(&p, &unit("a"), on_path(Verb::Modify, "/var/x")).allowed());
    let alone = ask(&p, &Task::default(), on_path(Verb::Modify, "/usr/x"));
    assert_eq!(alone.refusals.len(), 1, "a task without a profile falls under guards all the same");
}

#[test]
fn audit_and_learn_report_what_they_would_deny() {
    for mode in ["audit", "learn"] {
        let p = policy(&format!(r#"profile p {{ subject unit "a"; mode {mode}; allow read "/a"; }}"#));
        let verdict = ask(&p, &unit("a"), on_path(Verb::Read, "/b"));
        assert!(verdict.allowed() && verdict.would.len() == 1, "{mode}");
    }
    let p = policy(
        r#"profile p { subject unit "a"; mode audit; allow read "/a"; }
           guard g { subject host "*"; deny read "/b"; }"#,
    );
    let verdict = ask(&p, &unit("a"), on_path(Verb::Read, "/b"));
    assert!(!verdict.allowed() && verdict.would.len() == 1, "modes are per block");
}

#[test]
fn watch_never_decides() {
    let p = policy(r#"profile p { subject unit "a"; allow read "/a"; watch read "/**"; }"#);
    let allowed = ask(&p, &unit("a"), on_path(Verb::Read, "/a"));
    assert!(allowed.allowed() && allowed.watched.len() == 1);
    let denied = ask(&p, &unit("a"), on_path(Verb::Read, "/b"));
    assert!(!denied.allowed() && denied.watched.len() == 1);
}

#[test]
fn the_most_specific_key_attaches() {
    let p = policy(
        r#"profile by_exec { subject exec "/usr/bin/x"; allow read "/exec"; }
           profile by_unit { subject unit "a"; allow read "/unit"; }
           profile by_user { subject user "root"; allow read "/user"; }
           profile both { subject unit "b", user "root"; allow read "/both"; }"#,
    );
    let evaluator = Evaluator::new(&p).unwrap();
    let name = |task: &Task| evaluator.attach(task).profile.map(|n| p.blocks[n].name.clone());
    let full = Task { exec: Some("/usr/bin/x".into()), user: Some("root".into()), ..unit("a") };
    assert_eq!(name(&full).as_deref(), Some("by_exec"));
    assert_eq!(name(&Task { exec: None, ..full.clone() }).as_deref(), Some("by_unit"));
    assert_eq!(name(&Task { exec: None, unit: None, ..full.clone() }).as_deref(), Some("by_user"));
    assert_eq!(name(&Task { exec: None, unit: Some("b".into()), ..full }).as_deref(), Some("both"));
    assert_eq!(name(&unit("b")), None, "selectors of one line AND");
}

#[test]
fn lines_or_and_labels_are_many() {
    let p = policy(r#"profile p { subject unit "a"; subject label "app=web", label "tier=front"; allow read "/a"; }"#);
    let evaluator = Evaluator::new(&p).unwrap();
    let labels = |list: &[&str]| Task { labels: list.iter().map(|l| l.to_string()).collect(), ..Task::default() };
    assert!(evaluator.attach(&unit("a")).profile.is_some());
    assert!(evaluator.attach(&labels(&["tier=front", "x", "app=web"])).profile.is_some());
    assert!(evaluator.attach(&labels(&["app=web"])).profile.is_none());
}

#[test]
fn outcomes_replace_on_violation() {
    let p = policy(
        r#"profile p {
             subject unit "a";
             on violation severity low then throttle;
             on violation of exec severity critical;
             allow read "/**";
             deny read "/secret" severity high;
           }"#,
    );
    let outcome = |atom| ask(&p, &unit("a"), atom).outcome().unwrap();
    assert_eq!(outcome(on_path(Verb::Read, "/secret")), (Severity::High, Action::Throttle));
    assert_eq!(outcome(on_path(Verb::Exec, "/x")), (Severity::Critical, Action::Throttle));
    assert_eq!(outcome(on_path(Verb::Load, "/x")), (Severity::Low, Action::Throttle));
    let bare = policy(r#"profile p { subject unit "a"; allow read "/a"; }"#);
    assert_eq!(ask(&bare, &unit("a"), connect("::1", 1)).outcome(), Some((Severity::Medium, Action::Alert)));
}

#[test]
fn a_new_name_gives_nothing_that_the_old_one_lacks() {
    let p = policy(
        r#"profile p { subject unit "a"; governs read, create, delete, exec; allow read, create, delete "/a/**";
                       deny read "/a/secret/**"; allow exec "/a/bin/**"; }"#,
    );
    let evaluator = Evaluator::new(&p).unwrap();
    let allowed = |from: &str, to: &str| {
        let rename = Operation::Rename { from: from.into(), to: to.into() };
        evaluator.evaluate(&unit("a"), &rename, NOON.parse().unwrap()).allowed()
    };
    assert!(allowed("/a/x", "/a/y") && allowed("/a/x", "/a/secret/x") && allowed("/a/bin/x", "/a/bin/y"));
    assert!(allowed("/a/bin/x", "/a/x"));
    assert!(!allowed("/a/secret/x", "/a/x"));
    assert!(!allowed("/a/x", "/a/bin/x"));
}

#[test]
fn operations_split_into_atoms() {
    let p = policy(
        r#"profile p { subject unit "a"; allow delete "/a/**"; allow create "/b/**"; allow read, modify "/c/**";
                       allow exec "/s", "/bin/sh"; allow write "/w"; }"#,
    );
    let evaluator = Evaluator::new(&p).unwrap();
    let allowed = |operation: Operation| evaluator.evaluate(&unit("a"), &operation, NOON.parse().unwrap()).allowed();
    let b = |text: &str| text.as_bytes().to_vec();
    assert!(allowed(Operation::Rename { from: b("/a/x"), to: b("/b/x") }));
    assert!(!allowed(Operation::Rename { from: b("/b/x"), to: b("/a/x") }));
    assert!(allowed(Operation::Link { old: b("/c/x"), new: b("/b/x") }));
    assert!(!allowed(Operation::Link { old: b("/a/x"), new: b("/b/x") }));
    assert!(allowed(Operation::Script { script: b("/s"), interpreter: b("/bin/sh") }));
    assert!(!allowed(Operation::Script { script: b("/s"), interpreter: b("/bin/python") }));
    assert!(allowed(Operation::Write(b("/w"))) && !allowed(Operation::Write(b("/b/x"))));
}

#[test]
fn conditions_all_hold() {
    let p = policy(
        r#"window day { daily 08:00-18:00 zone "UTC"; }
           profile p { subject unit "a"; allow read "/a" during day by user "root", exec "/usr/bin/*"; }"#,
    );
    let task = Task { user: Some("root".into()), exec: Some("/usr/bin/x".into()), ..unit("a") };
    let read = || on_path(Verb::Read, "/a");
    assert!(ask(&p, &task, read()).allowed());
    assert!(!ask_at(&p, &task, read(), "2026-01-05T18:00:00Z").allowed());
    assert!(!ask(&p, &Task { exec: None, ..task.clone() }, read()).allowed());
    assert!(!ask(&p, &Task { user: Some("www".into()), ..task }, read()).allowed());
}

#[test]
fn outside_its_window_a_profile_permits_nothing_and_a_guard_denies_nothing() {
    let p = policy(
        r#"window day { daily 08:00-18:00 zone "UTC"; }
           profile p { subject unit "a"; governs read; active during day else quarantine; allow read "/**"; }
           guard g { subject unit "b"; active during day; deny read "/x"; }"#,
    );
    let night = "2026-01-05T03:00:00Z";
    let closed = ask_at(&p, &unit("a"), on_path(Verb::Read, "/a"), night);
    assert_eq!(closed.deciding().unwrap().cause, Cause::Closed);
    assert_eq!(closed.outcome(), Some((Severity::Medium, Action::Quarantine)));
    assert!(ask(&p, &unit("a"), on_path(Verb::Read, "/a")).allowed());
    assert!(ask_at(&p, &unit("a"), connect("10.0.0.1", 1), night).allowed(), "what is not governed is left alone");
    assert!(!ask(&p, &unit("b"), on_path(Verb::Read, "/x")).allowed());
    assert!(ask_at(&p, &unit("b"), on_path(Verb::Read, "/x"), night).allowed());
}

#[test]
fn network_addresses_and_names() {
    let p = policy(
        r#"profile p {
             subject unit "a";
             allow connect tcp to "10.0.0.0/8", "fd00::/8" port 80, 8000-8100;
             allow connect tcp to dns "*.Example.org" port 443;
             deny connect tcp to "10.9.0.0/16";
           }"#,
    );
    let ok = |atom| ask(&p, &unit("a"), atom).allowed();
    assert!(ok(connect("10.1.2.3", 8050)) && ok(connect("::ffff:10.1.2.3", 80)) && ok(connect("fd00::1", 80)));
    assert!(!ok(connect("10.9.2.3", 80)) && !ok(connect("10.1.2.3", 81)) && !ok(connect("11.0.0.1", 80)));
    let named = |name: &str, port| Atom {
        verb: Verb::Connect,
        target: Target::Ip { proto: Proto::Tcp, address: None, name: Some(name.into()), port },
    };
    assert!(!ok(named("www.example.org", 443)), "the address is unknown, so the denied block may be meant");
    let open = policy(r#"profile p { subject unit "a"; allow connect tcp to dns "*.example.org"; }"#);
    assert!(ask(&open, &unit("a"), named("WWW.example.org.", 443)).allowed());
    assert!(!ask(&open, &unit("a"), named("example.com", 443)).allowed());
    let bind = Atom { verb: Verb::Bind, ..connect("10.1.2.3", 80) };
    let udp = Atom { verb: Verb::Connect, target: Target::ip(Proto::Udp, "10.1.2.3".parse().unwrap(), 80) };
    assert!(!ok(bind) && !ok(udp));
}

#[test]
fn the_other_classes() {
    let p = policy(
        r#"profile p {
             subject unit "a";
             allow capability chown; allow kernel mount; allow syscall @file-system;
             allow connect unix "/run/*.sock", "@x*";
           }"#,
    );
    let ok = |verb, target| ask(&p, &unit("a"), Atom { verb, target }).allowed();
    assert!(ok(Verb::Capability, Target::Capability(0)) && !ok(Verb::Capability, Target::Capability(21)));
    assert!(ok(Verb::Kernel, Target::Kernel(kiln_base::model::KernelOp::Mount)));
    assert!(!ok(Verb::Kernel, Target::Kernel(kiln_base::model::KernelOp::Bpf)));
    assert!(
        ok(Verb::Syscall, Target::Syscall("openat".into())) && !ok(Verb::Syscall, Target::Syscall("reboot".into()))
    );
    assert!(
        ok(Verb::Connect, Target::Unix(b"/run/a.sock".to_vec())) && ok(Verb::Connect, Target::Unix(b"@xy".to_vec()))
    );
    assert!(!ok(Verb::Bind, Target::Unix(b"/run/a.sock".to_vec())));
    assert!(!ok(Verb::Read, Target::Path(b"/run/a.sock".to_vec())), "a socket's rule is not about the file");
}

#[test]
fn exec_as_switches_the_profile() {
    let p = policy(
        r#"profile p { subject unit "a"; allow exec "/usr/bin/*"; allow exec "/usr/bin/q" as q; }
           profile q { subject exec "/usr/bin/q"; allow read "/q"; }"#,
    );
    let verdict = ask(&p, &unit("a"), on_path(Verb::Exec, "/usr/bin/q"));
    assert_eq!(verdict.switch.as_deref(), Some("q"));
    assert_eq!(ask(&p, &unit("a"), on_path(Verb::Exec, "/usr/bin/r")).switch, None);
    let evaluator = Evaluator::new(&p).unwrap();
    let after = evaluator.switched(&evaluator.attach(&unit("a")), "q");
    let read = evaluator.decide(&after, &unit("a"), &on_path(Verb::Read, "/q"), NOON.parse().unwrap());
    assert!(read.allowed());
}

#[test]
fn limits_are_the_least_of_all_blocks() {
    let p = policy(
        r#"window day { daily 08:00-18:00 zone "UTC"; }
           profile p { subject unit "a"; limit cpu 80%; limit memory 1GiB; limit network in 8MB/s; allow read "/a"; }
           guard g { subject host "*"; limit cpu 50% during day; limit memory 2GiB; limit io read 1MiB/s, write 2MiB/s; }"#,
    );
    let evaluator = Evaluator::new(&p).unwrap();
    let at = |time: &str| {
        let limits = evaluator.limits(&evaluator.attach(&unit("a")), time.parse().unwrap());
        limits.into_iter().map(|(resource, (value, _))| (resource, value)).collect::<Vec<_>>()
    };
    let rest = [
        (Resource::Memory, 1 << 30),
        (Resource::IoRead, 1 << 20),
        (Resource::IoWrite, 2 << 20),
        (Resource::NetworkIn, 64_000_000),
    ];
    assert_eq!(at(NOON), [&[(Resource::Cpu, 50)][..], &rest].concat());
    assert_eq!(at("2026-01-05T18:00:00Z"), [&[(Resource::Cpu, 80)][..], &rest].concat());
}
