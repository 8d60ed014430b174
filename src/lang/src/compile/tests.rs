//! Tables files: what the reader refuses; and the gap report.

use kiln_base::abi::TablesError;
use kiln_base::abi::kernel::HEADER_BYTES;
use kiln_base::abi::tables::MAX_FILE;
use kiln_base::abi::walk::Object as Wanted;
use kiln_base::model::{Action, Cidr, Digest, KernelOp, Mode, Outcome, PortRange, Proto, Verb, VerbSet};

use super::laws::options;
use super::random::{self, Random};
use super::*;
use crate::policy::normal::*;

fn file() -> Vec<u8> {
    compile(&random::policy(&mut Random(5)), &options()).unwrap().to_bytes().unwrap()
}

/// The same file with other bytes in it and a checksum that fits.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len() - 32;
    let sum = Digest::of(&bytes[..body]);
    bytes[body..].copy_from_slice(sum.as_bytes());
    bytes
}

#[test]
fn every_changed_byte_is_found() {
    let good = file();
    let mut bytes = good.clone();
    // All of the small parts, and a stride through the words.
    let places =
        (0..HEADER_BYTES + 24).chain((HEADER_BYTES + 24..good.len()).step_by(37)).chain(good.len() - 32..good.len());
    for at in places {
        bytes[at] ^= 1 << (at % 8);
        assert!(Tables::read(&bytes).is_err(), "byte {at}");
        bytes[at] = good[at];
    }
    assert!(Tables::read(&bytes).is_ok());
}

#[test]
fn every_truncation_and_extension_is_found() {
    let good = file();
    for len in (0..700).chain((700..good.len()).step_by(997)) {
        assert!(Tables::read(&good[..len]).is_err(), "{len} bytes");
    }
    assert!(Tables::read(&[&good[..], b"\0"].concat()).is_err());
}

#[test]
fn lengths_beyond_reason_are_refused_before_memory_is_taken() {
    for at in [12, 16] {
        let mut bytes = file();
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(Tables::read(&bytes), Err(TablesError::TooLarge { .. })));
    }
    const { assert!(MAX_FILE < 64 << 20) };
}

/// A person who can sign can also seal: a checksum that fits must not make bad numbers good.
#[test]
fn no_sealed_number_leads_out_of_bounds() {
    let timed = compile(&random::timed_policy(&mut Random(5)), &options()).unwrap();
    assert!(timed.kernel.header.n_variants > 3);
    for good in [file(), timed.to_bytes().unwrap()] {
        no_sealed_number_of(&good);
    }
}

fn no_sealed_number_of(good: &[u8]) {
    let mut r = Random(11);
    let (mut refused, mut taken) = (0, 0);
    for round in 0..3000 {
        let mut bytes = good.to_vec();
        let kernel = u32::from_le_bytes(good[12..16].try_into().unwrap()) as usize;
        // Half of the changes hit the header and the subjects, where most numbers are.
        let span = if round % 2 == 0 { 64 } else { kernel };
        let at = 24 + r.below(span / 4) * 4;
        let value = match r.below(4) {
            0 => u32::MAX,
            1 => r.next() as u32,
            2 => r.below(1 << 16) as u32,
            _ => u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()).wrapping_add(1),
        };
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        match Tables::read(&resealed(bytes)) {
            Err(_) => refused += 1,
            Ok(tables) => {
                taken += 1;
                stays_within(&tables, &mut r);
            }
        }
    }
    assert!(refused > 500 && taken > 100, "{refused} {taken}");
}

/// Walks as the kernel would, with indexing that panics where the kernel would read another part.
fn stays_within(tables: &Tables, r: &mut Random) {
    let kernel = &tables.kernel;
    for _ in 0..30 {
        let subject = 1 + r.below(kernel.header.n_subjects as usize - 1) as u32;
        let (verb, asked) = random::request(r);
        let deciding = kernel.deciding(subject, Some(r.next()), Some(r.below(5) as u32));
        let verdict = kernel.verdict(deciding, verb, &super::laws::wanted(&asked));
        assert!(verdict.is_some(), "subject {subject} {verb} {asked:?}");
        let next = kernel.after_exec(subject, random::program(r).as_bytes());
        assert!(kernel.subject(next).is_some());
        assert!(kernel.subject(kernel.after_unit(subject, random::unit(r).as_bytes())).is_some());
    }
}

#[test]
fn other_kinds_and_versions_are_named() {
    assert!(matches!(Tables::read(b""), Err(TablesError::Magic)));
    assert!(matches!(Tables::read(b"\x7fELF\x02\x01\x01"), Err(TablesError::Magic)));
    assert!(matches!(Tables::read(b"KILNTAB1"), Err(TablesError::Length { .. })));
    let mut bytes = file();
    bytes[8] = 9;
    assert!(matches!(Tables::read(&bytes), Err(TablesError::Version(9))));
    let mut bytes = file();
    bytes[24 + 4] = 9;
    assert!(matches!(Tables::read(&resealed(bytes)), Err(TablesError::AbiVersion(9))));
}

#[test]
fn kernel_versions_are_read() {
    assert_eq!("6.1".parse(), Ok(KernelVersion::BASELINE));
    assert_eq!("6.12.48-cloud-amd64".parse(), Ok(KernelVersion { major: 6, minor: 12 }));
    for bad in ["", "6", "5.15", "6.0", "6.19", "7.1", "six.one", "6.", "6.+1", "66666666.1"] {
        assert!(bad.parse::<KernelVersion>().is_err(), "{bad}");
    }
}

pub(super) fn block(kind: BlockKind, rules: Vec<Rule>) -> Block {
    let selector = Selector { key: SelectorKey::Unit, pattern: Glob("web.service".to_owned()) };
    Block {
        kind,
        name: "web".to_owned(),
        mode: Mode::Enforce,
        subjects: vec![vec![selector]],
        governs: VerbSet::from_bits(0xfff),
        active: None,
        on_violation: Outcome::default(),
        on_violation_of: Default::default(),
        rules,
        nevers: Vec::new(),
        limits: Vec::new(),
    }
}

/// Checked for the signer and for the agent: what the metadata says is what the kernel part does.
#[test]
fn metadata_that_is_not_the_kernel_parts_is_refused() {
    let mut guard = block(BlockKind::Guard, vec![file_rule(Effect::Deny, "/etc/shadow")]);
    guard.subjects = vec![vec![Selector { key: SelectorKey::Exec, pattern: Glob("/opt/x".to_owned()) }]];
    let blocks = vec![block(BlockKind::Profile, vec![file_rule(Effect::Allow, "/srv/*")]), guard];
    let good = compile(&Policy { edition: 1, windows: Default::default(), blocks }, &options()).unwrap();
    type Change = fn(&mut kiln_base::abi::Metadata);
    let changes: [(&str, Change); 13] = [
        ("no units", |m| m.units.clear()),
        ("another list of units", |m| m.units = vec!["off.service".to_owned()]),
        ("no unit anywhere", |m| {
            m.units.clear();
            m.blocks[0].units.clear();
        }),
        ("another unit", |m| {
            m.units = vec!["off.service".to_owned()];
            m.blocks[0].units = m.units.clone();
        }),
        ("another program", |m| m.blocks[1].exec = vec!["/opt/y".to_owned()]),
        ("no program", |m| m.blocks[1].exec.clear()),
        ("a guard for a profile", |m| m.blocks[0].kind = BlockKind::Guard),
        ("another name", |m| m.blocks[0].name = "other".to_owned()),
        ("every host", |m| m.blocks[1].host = true),
        ("another subject", |m| {
            m.subjects.swap(2, 3);
            (m.subjects[2].index, m.subjects[3].index) = (3, 4);
        }),
        ("another key", |m| m.subjects[2].key = "web|x".to_owned()),
        ("another text", |m| m.rules[0].text = "allow read \"/etc/**\"".to_owned()),
        ("no text", |m| m.source.clear()),
    ];
    for (what, change) in changes {
        let mut metadata = good.metadata.clone();
        change(&mut metadata);
        let read = Tables::new(good.kernel.clone(), metadata);
        assert!(matches!(read, Err(TablesError::Mismatch(_))), "{what}");
    }
}

/// A rule that reads a path.
pub(super) fn file_rule(effect: Effect, path: &str) -> Rule {
    let verbs = [Verb::Read].into_iter().collect();
    a_rule(effect, Object::File { verbs, paths: vec![Glob(path.to_owned())], except: Vec::new(), switch: None })
}

fn a_rule(effect: Effect, object: Object) -> Rule {
    Rule {
        effect,
        object,
        conditions: Vec::new(),
        outcome: Outcome::default(),
        because: Vec::new(),
        text: "the rule".to_owned(),
        origin: "web.pdl:3".to_owned(),
    }
}

fn gaps(blocks: Vec<Block>) -> Vec<Gap> {
    match compile(&Policy { edition: 1, windows: Default::default(), blocks }, &options()) {
        Err(CompileError::Gaps(gaps)) => gaps,
        other => panic!("expected gaps, got {other:?}"),
    }
}

fn net(verb: Verb, proto: Proto) -> Object {
    let addresses = Addresses::Blocks(vec![Cidr::ANY]);
    Object::Net { verbs: [verb].into_iter().collect(), proto, addresses, ports: vec![PortRange::ANY] }
}

/// What the tables say may be done with any address of TCP and of UDP by the one profile.
fn any_address(rules: Vec<Rule>) -> (u16, u16) {
    let policy = Policy { edition: 1, windows: Default::default(), blocks: vec![block(BlockKind::Profile, rules)] };
    let s = compile(&policy, &options()).unwrap().kernel.subject(3).unwrap();
    (s.any_tcp, s.any_udp)
}

#[test]
fn only_what_every_address_and_port_permits_is_permitted_unseen() {
    let connect = 1 << Verb::Connect as u16;
    let allow = |object| a_rule(Effect::Allow, object);
    let to = |cidr: Cidr, first, last| Object::Net {
        verbs: [Verb::Connect].into_iter().collect(),
        proto: Proto::Tcp,
        addresses: Addresses::Blocks(vec![cidr]),
        ports: vec![PortRange { first, last }],
    };
    assert_eq!(any_address(vec![allow(net(Verb::Connect, Proto::Tcp))]), (connect, 0));
    let both = vec![allow(net(Verb::Connect, Proto::Tcp)), allow(net(Verb::Connect, Proto::Udp))];
    assert_eq!(any_address(both), (connect, connect));
    // One port too few, one address family too few, one address refused, one watched.
    assert_eq!(any_address(vec![allow(to(Cidr::ANY, 0, 65534))]), (0, 0));
    assert_eq!(any_address(vec![allow(to(Cidr::ANY_V4, 0, 65535))]), (0, 0));
    let metadata = Cidr::new(net4([169, 254, 169, 254]), 128);
    for effect in [Effect::Deny, Effect::Watch] {
        let but = vec![allow(net(Verb::Connect, Proto::Tcp)), a_rule(effect, to(metadata, 0, 65535))];
        assert_eq!(any_address(but), (0, 0), "{effect:?}");
    }
}

fn net4(four: [u8; 4]) -> [u8; 16] {
    let mut address = Cidr::ANY_V4.addr();
    address[12..].copy_from_slice(&four);
    address
}

#[test]
fn a_profile_that_governs_all_is_told_the_line_to_add() {
    let all = Block { governs: VerbSet::ALL, ..block(BlockKind::Profile, Vec::new()) };
    let found = gaps(vec![all]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].mend,
        "add the line `governs read, modify, create, delete, setattr, exec, load, bind, connect, accept, capability, \
         kernel;`"
    );
}

fn named(verb: Verb) -> Object {
    Object::Net {
        verbs: [verb].into_iter().collect(),
        proto: Proto::Tcp,
        addresses: Addresses::Dns("example.org".to_owned()),
        ports: vec![PortRange::ANY],
    }
}

#[test]
fn what_cannot_be_enforced_is_never_ignored() {
    use BlockKind::{Guard, Profile};
    let rule_gaps = |kind, rule| gaps(vec![block(kind, vec![rule])]);
    let allow = |object| a_rule(Effect::Allow, object);
    let deny = |object| a_rule(Effect::Deny, object);
    let names = vec!["mseal".to_owned()];
    let read = || Object::File {
        verbs: [Verb::Read].into_iter().collect(),
        paths: vec![Glob("/a".to_owned())],
        except: Vec::new(),
        switch: None,
    };
    let switch_during = |window: &str| {
        let verbs = [Verb::Exec].into_iter().collect();
        let (paths, switch) = (vec![Glob("/a".to_owned())], Some("web".to_owned()));
        let switching = allow(Object::File { verbs, paths, except: Vec::new(), switch });
        Rule { conditions: vec![Condition::During(window.to_owned())], ..switching }
    };
    let cases = [
        (Guard, deny(Object::Syscall { names })),
        (Profile, Rule { conditions: vec![Condition::During("night".to_owned())], ..allow(read()) }),
        (Profile, switch_during("night")),
        (Profile, Rule { conditions: vec![Condition::By(Vec::new())], ..allow(read()) }),
        (
            Guard,
            Rule {
                outcome: Outcome { severity: None, action: Some(Action::Throttle) },
                ..a_rule(Effect::Watch, read())
            },
        ),
        (
            Profile,
            Rule { outcome: Outcome { severity: None, action: Some(Action::Kill) }, ..a_rule(Effect::Watch, read()) },
        ),
        (
            Guard,
            Rule {
                outcome: Outcome { severity: None, action: Some(Action::Quarantine) },
                ..a_rule(Effect::Watch, read())
            },
        ),
        (Profile, allow(named(Verb::Accept))),
        (Profile, deny(named(Verb::Connect))),
        (Guard, deny(named(Verb::Connect))),
        (Guard, a_rule(Effect::Watch, named(Verb::Connect))),
    ];
    for (kind, rule) in cases {
        let shown = format!("{rule:?}");
        let found = rule_gaps(kind, rule);
        assert!(!found.is_empty(), "{shown}");
        assert_eq!((found[0].rule.as_deref(), found[0].origin.as_deref()), (Some("the rule"), Some("web.pdl:3")));
        assert!(!found[0].reason.is_empty() && !found[0].mend.is_empty());
    }
}

#[test]
fn a_rule_of_each_protocol_is_told_apart() {
    let verdict = |rule: &Rule, verb, protocol| {
        let blocks = vec![block(BlockKind::Profile, vec![rule.clone()])];
        let tables = compile(&Policy { edition: 1, windows: Default::default(), blocks }, &options()).unwrap();
        let object = Wanted::Net { protocol, address: net4([10, 0, 0, 1]), port: 0 };
        tables.kernel.verdict(3, verb, &object).unwrap().permits()
    };
    for proto in [Proto::Icmp, Proto::Sctp, Proto::Tcp, Proto::Udp] {
        for verb in [Verb::Bind, Verb::Connect, Verb::Accept] {
            let rule = a_rule(Effect::Allow, net(verb, proto));
            for other in [Proto::Icmp, Proto::Tcp, Proto::Udp, Proto::Sctp] {
                assert_eq!(verdict(&rule, verb, other as u8), other == proto, "{verb} {proto:?} {other:?}");
            }
        }
    }
}

#[test]
fn blocks_that_cannot_be_enforced_are_never_ignored() {
    use BlockKind::{Guard, Profile};
    let line = |key, pattern: &str| Selector { key, pattern: Glob(pattern.to_owned()) };
    let with = |kind, subjects| Block { subjects, ..block(kind, Vec::new()) };
    let host = || line(SelectorKey::Host, "*");
    // A throttle is of a service, not of a program.
    let of_program = |kind| with(kind, vec![vec![line(SelectorKey::Exec, "/a")]]);
    let cases = [
        with(Profile, vec![vec![host()]]),
        with(Guard, vec![]),
        with(Profile, vec![vec![line(SelectorKey::Host, "db*")]]),
        with(Guard, vec![vec![line(SelectorKey::User, "dave")]]),
        with(Guard, vec![vec![line(SelectorKey::Image, "nginx:*")]]),
        with(Guard, vec![vec![line(SelectorKey::Label, "app=web")]]),
        with(Profile, vec![vec![line(SelectorKey::Unit, "a.service"), line(SelectorKey::Exec, "/a")]]),
        Block {
            active: Some(Active { window: "night".to_owned(), otherwise: None, because: Vec::new() }),
            ..block(Profile, Vec::new())
        },
        Block {
            active: Some(Active { window: "night".to_owned(), otherwise: Some(Action::Throttle), because: Vec::new() }),
            ..of_program(Profile)
        },
        Block { on_violation: Outcome { severity: None, action: Some(Action::Throttle) }, ..of_program(Profile) },
        Block {
            on_violation_of: [(Verb::Exec, Outcome { severity: None, action: Some(Action::Throttle) })].into(),
            ..of_program(Profile)
        },
        Block {
            limits: vec![Limit {
                amount: Amount::Pids { max: 5 },
                during: Some("night".to_owned()),
                outcome: Outcome::default(),
                because: Vec::new(),
                origin: "web.pdl:9".to_owned(),
            }],
            ..block(Profile, Vec::new())
        },
    ];
    for block in cases {
        let shown = format!("{block:?}");
        assert!(!gaps(vec![block]).is_empty(), "{shown}");
    }
    // Two profiles for the same unit: which one would it be?
    let (a, b) = (block(Profile, Vec::new()), Block { name: "other".to_owned(), ..block(Profile, Vec::new()) });
    assert!(gaps(vec![a, b])[0].reason.contains("web and profile other"));
}

#[test]
fn a_quarantine_never_holds_a_slice() {
    let of = |pattern: &str, action| {
        let deny = a_rule(Effect::Deny, Object::Kernel { ops: vec![KernelOp::Bpf] });
        let deny = Rule { outcome: Outcome { severity: None, action: Some(action) }, ..deny };
        let asks = Block { name: "asks".to_owned(), ..block(BlockKind::Guard, vec![deny]) };
        let line = vec![Selector { key: SelectorKey::Unit, pattern: Glob(pattern.to_owned()) }];
        let other = Block { subjects: vec![line], name: "other".to_owned(), ..block(BlockKind::Guard, Vec::new()) };
        Policy { edition: 1, windows: Default::default(), blocks: vec![asks, other] }
    };
    for pattern in ["*", "system*", "system.slice", "*.s*", "*.{service,slice}", "*.slic[e]"] {
        let Err(CompileError::Gaps(found)) = compile(&of(pattern, Action::Quarantine), &options()) else {
            panic!("{pattern} is taken");
        };
        assert!(found[0].reason.contains("names slices"), "{found:?}");
        compile(&of(pattern, Action::Kill), &options()).unwrap();
    }
    for pattern in ["*.service", "a@*.service", "*.scope"] {
        compile(&of(pattern, Action::Quarantine), &options()).unwrap();
    }
}

#[test]
fn the_host_in_a_line_adds_nothing_to_it() {
    let mut b = block(BlockKind::Profile, vec![a_rule(Effect::Allow, Object::Kernel { ops: vec![KernelOp::Bpf] })]);
    b.subjects[0].push(Selector { key: SelectorKey::Host, pattern: Glob("*".to_owned()) });
    let policy = Policy { edition: 1, windows: Default::default(), blocks: vec![b] };
    let tables = compile(&policy, &options()).unwrap();
    assert_eq!(tables.metadata.subjects.iter().map(|s| &*s.key).collect::<Vec<_>>(), ["|", "!sentinel", "web|"]);
    assert_eq!(tables.kernel.after_unit(1, b"web.service"), 3);
    assert_eq!(tables.metadata.units, ["web.service"]);
}

#[test]
fn one_program_of_a_unit_attaches_where_the_units_profile_switches() {
    let selector = |key, text: &str| Selector { key, pattern: Glob(text.to_owned()) };
    let switch = |target: Option<&str>| {
        let verbs = [Verb::Exec].into_iter().collect();
        let object = Object::File {
            verbs,
            paths: vec![Glob("/bin/sh".to_owned())],
            except: Vec::new(),
            switch: target.map(str::to_owned),
        };
        a_rule(Effect::Allow, object)
    };
    let shell = Block {
        name: "shell".to_owned(),
        subjects: vec![vec![selector(SelectorKey::Exec, "/bin/sh"), selector(SelectorKey::Unit, "web.service")]],
        ..block(BlockKind::Profile, Vec::new())
    };
    let policy = |rule| Policy {
        edition: 1,
        windows: Default::default(),
        blocks: vec![block(BlockKind::Profile, vec![rule]), shell.clone()],
    };
    let tables = compile(&policy(switch(Some("shell"))), &options()).unwrap();
    let keys: Vec<&str> = tables.metadata.subjects.iter().map(|s| &*s.key).collect();
    assert_eq!(keys, ["|", "!sentinel", "shell|", "web|"]);
    // The unit is the profile's; the shell is come to by exec from there, and from nowhere else.
    assert_eq!(tables.kernel.after_unit(1, b"web.service"), 4);
    assert_eq!(tables.kernel.after_exec(4, b"/bin/sh"), 3);
    assert_ne!(tables.kernel.after_exec(1, b"/bin/sh"), 3);
    assert!(tables.metadata.blocks.iter().find(|b| b.name == "shell").unwrap().units.is_empty());
    // Without the switch the line would say what the tables cannot.
    assert!(matches!(compile(&policy(switch(None)), &options()), Err(CompileError::Gaps(_))));
}

#[test]
fn too_many_subjects_are_an_error_in_time() {
    let guard = |n: usize| Block {
        name: format!("g{n}"),
        subjects: vec![vec![Selector { key: SelectorKey::Exec, pattern: Glob(format!("/bin/{n}")) }]],
        ..block(BlockKind::Guard, Vec::new())
    };
    let policy = Policy { edition: 1, windows: Default::default(), blocks: (0..12).map(guard).collect() };
    assert!(matches!(compile(&policy, &options()), Err(CompileError::Subjects(_))));
}

#[test]
fn too_many_words_are_an_error() {
    let mut r = Random(3);
    let name = |r: &mut Random| (0..60).map(|_| char::from(b'a' + r.below(26) as u8)).collect::<String>();
    let rules = (0..5_000)
        .map(|_| {
            let verbs = [Verb::Read].into_iter().collect();
            a_rule(
                Effect::Allow,
                Object::File {
                    verbs,
                    paths: vec![Glob(format!("/{}", name(&mut r)))],
                    except: Vec::new(),
                    switch: None,
                },
            )
        })
        .collect();
    let policy = Policy { edition: 1, windows: Default::default(), blocks: vec![block(BlockKind::Profile, rules)] };
    assert!(matches!(compile(&policy, &options()), Err(CompileError::Words { .. })));
}

/// With the window defined what else there is to refuse is still refused, and nothing else.
#[test]
fn a_window_is_enforced_but_for_a_switch_and_what_nobody_can_do() {
    use BlockKind::Profile;
    let span = Span { days: [true; 7], start: 0, end: 60, zone: "UTC".to_owned() };
    let night = ("night".to_owned(), Window { spans: vec![span] });
    let found = |block: Block| {
        let policy = Policy { edition: 1, windows: [night.clone()].into(), blocks: vec![block] };
        match compile(&policy, &options()) {
            Err(CompileError::Gaps(gaps)) => gaps.len(),
            Ok(_) => 0,
            Err(e) => panic!("{e}"),
        }
    };
    let during = |switch: Option<&str>| {
        let (verbs, paths) = ([Verb::Exec].into_iter().collect(), vec![Glob("/a".to_owned())]);
        let object = Object::File { verbs, paths, except: Vec::new(), switch: switch.map(str::to_owned) };
        Rule { conditions: vec![Condition::During("night".to_owned())], ..a_rule(Effect::Allow, object) }
    };
    let active = |otherwise| Some(Active { window: "night".to_owned(), otherwise, because: Vec::new() });
    assert_eq!(found(block(Profile, vec![during(None)])), 0);
    assert_eq!(found(block(Profile, vec![during(Some("web"))])), 1);
    assert_eq!(found(Block { active: active(Some(Action::Kill)), ..block(Profile, Vec::new()) }), 0);
    assert_eq!(found(Block { active: active(Some(Action::Throttle)), ..block(Profile, Vec::new()) }), 0);
    let program = vec![vec![Selector { key: SelectorKey::Exec, pattern: Glob("/a".to_owned()) }]];
    let throttled = active(Some(Action::Throttle));
    assert_eq!(found(Block { active: throttled, subjects: program, ..block(Profile, Vec::new()) }), 1);
    let unit = vec![vec![Selector { key: SelectorKey::Unit, pattern: Glob("a.service".to_owned()) }]];
    let active = active(Some(Action::Quarantine));
    assert_eq!(found(Block { active, subjects: unit, ..block(Profile, Vec::new()) }), 0);
}

#[test]
fn more_windows_than_there_is_room_for_are_an_error() {
    let span = Span { days: [true; 7], start: 0, end: 60, zone: "UTC".to_owned() };
    let policy = |windows: usize, used: usize| {
        let windows = (0..windows).map(|n| (format!("w{n:02}"), Window { spans: vec![span.clone()] })).collect();
        let rule = |n: usize| Rule {
            conditions: vec![Condition::During(format!("w{n:02}"))],
            ..file_rule(Effect::Allow, &format!("/{n}"))
        };
        let blocks = vec![block(BlockKind::Profile, (0..used).map(rule).collect())];
        compile(&Policy { edition: 1, windows, blocks }, &options())
    };
    assert!(policy(24, 8).is_ok());
    assert!(matches!(policy(25, 1), Err(CompileError::Windows { most: 24, of: None })));
    assert!(matches!(policy(24, 9), Err(CompileError::Windows { most: 8, of: Some(_) })));
}
