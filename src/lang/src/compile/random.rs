//! Random policies and requests for the laws: small alphabets, so that rules meet each other and the requests.

use std::collections::BTreeMap;

use kiln_base::model::{Action, Cidr, KernelOp, Mode, Outcome, PortRange, Proto, Severity, Verb, VerbSet};

use crate::policy::normal::*;

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    pub(crate) fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
    fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..1 + self.below(most)).map(|_| make(self)).collect()
    }
}

const NAMES: [&str; 6] = ["a", "b", "ab", "etc", "log", "x.so"];
const PARTS: [&str; 14] =
    ["a", "b", "ab", "etc", "log", "x.so", "*", "**", "a*", "*.so", "?", "[ab]*", "{a,b,etc}", "[!a]*"];

pub(crate) fn glob(r: &mut Random) -> Glob {
    Glob(r.some(3, |r| format!("/{}", r.pick(&PARTS))).concat())
}
pub(crate) fn path(r: &mut Random) -> Vec<u8> {
    match r.below(40) {
        0 => b"/".to_vec(),
        1 => [b"/a/".repeat(30), b"b".to_vec()].concat(),
        2 => [&b"/etc/"[..], &vec![b'a'; r.below(5000)]].concat(),
        3 => b"/a".repeat(r.below(200) + 1),
        4 => (0..r.below(12)).map(|_| r.next() as u8).collect(),
        _ => r.some(4, |r| format!("/{}", r.pick(&NAMES))).concat().into_bytes(),
    }
}
fn abstract_name(r: &mut Random) -> String {
    format!("@{}", r.pick(&["a", "ab", "b/etc"]))
}
fn address(r: &mut Random) -> [u8; 16] {
    let v4 = |a, b, c, d| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
    match r.below(6) {
        0 => v4(10, 0, 0, r.below(4) as u8),
        1 => v4(10, r.below(3) as u8, r.next() as u8, 1),
        2 => v4(127, 0, 0, 1),
        3 => [0xfd, r.below(2) as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, r.below(3) as u8],
        4 => Cidr::LOOPBACK_V6.addr(),
        _ => std::array::from_fn(|_| r.next() as u8),
    }
}
fn port(r: &mut Random) -> u16 {
    *r.pick(&[0, 22, 80, 255, 256, 257, 443, 511, 512, 8080, 8083, 65535, 700])
}
fn ports(r: &mut Random) -> Vec<PortRange> {
    if r.one_in(3) {
        return vec![PortRange::ANY];
    }
    r.some(2, |r| {
        let (a, b) = (port(r), port(r));
        PortRange { first: a.min(b), last: if r.one_in(2) { a.min(b) } else { a.max(b) } }
    })
}
fn blocks(r: &mut Random) -> Vec<Cidr> {
    match r.below(5) {
        0 => vec![Cidr::ANY],
        1 => vec![Cidr::LOOPBACK_V4, Cidr::LOOPBACK_V6],
        _ => r.some(2, |r| Cidr::new(address(r), *r.pick(&[0, 8, 96, 103, 104, 112, 120, 126, 127, 128]))),
    }
}
fn verbs(r: &mut Random, among: VerbSet) -> VerbSet {
    let all: Vec<Verb> = among.iter().collect();
    r.some(3, |r| *r.pick(&all)).into_iter().collect()
}
fn outcome(r: &mut Random) -> Outcome {
    Outcome {
        severity: r.one_in(2).then(|| *r.pick(Severity::ALL)),
        action: r.one_in(2).then(|| *r.pick(&[Action::Alert, Action::Quarantine, Action::Kill])),
    }
}

/// Seldom any.
fn except(r: &mut Random, make: impl FnMut(&mut Random) -> Glob) -> Vec<Glob> {
    if r.one_in(3) { r.some(2, make) } else { Vec::new() }
}

fn object(r: &mut Random) -> Object {
    match r.below(12) {
        0..5 => {
            let (verbs, paths) = (verbs(r, VerbSet::FILE), r.some(3, glob));
            Object::File { verbs, paths, except: except(r, glob), switch: None }
        }
        5..8 => {
            let proto = *r.pick(&[Proto::Tcp, Proto::Tcp, Proto::Udp, Proto::Udp, Proto::Sctp, Proto::Icmp]);
            let ports = if proto == Proto::Icmp { vec![PortRange::ANY] } else { ports(r) };
            Object::Net { verbs: verbs(r, VerbSet::NETWORK), proto, addresses: Addresses::Blocks(blocks(r)), ports }
        }
        8 => {
            let name = |r: &mut Random| if r.one_in(2) { glob(r) } else { Glob(format!("{}*", abstract_name(r))) };
            let (verbs, paths) = (verbs(r, VerbSet::NETWORK), r.some(2, name));
            Object::Unix { verbs, paths, except: except(r, name) }
        }
        9 => Object::Capability { numbers: r.some(4, |r| r.below(64) as u8) },
        _ => Object::Kernel { ops: r.some(3, |r| *r.pick(KernelOp::ALL)) },
    }
}

fn rule(r: &mut Random, kind: BlockKind, number: usize) -> Rule {
    let effect = match (kind, r.below(8)) {
        (_, 0) => Effect::Watch,
        (BlockKind::Guard, _) | (_, 1) => Effect::Deny,
        _ => Effect::Allow,
    };
    let mut outcome = outcome(r);
    if effect == Effect::Watch {
        outcome.action = None;
    }
    Rule {
        effect,
        object: object(r),
        conditions: Vec::new(),
        outcome,
        because: Vec::new(),
        text: format!("rule {number}"),
        origin: format!("random.pdl:{number}"),
    }
}

/// A policy of a few blocks without anything that the kernel cannot enforce. Names are `p0`, `g0` ….
pub(crate) fn policy(r: &mut Random) -> Policy {
    let selector = |key, pattern: String| vec![Selector { key, pattern: Glob(pattern) }];
    let mut all = Vec::new();
    let (profiles, guards) = (r.below(4), r.below(4));
    for n in 0..profiles + guards {
        let kind = if n < profiles { BlockKind::Profile } else { BlockKind::Guard };
        let name = if n < profiles { format!("p{n}") } else { format!("g{}", n - profiles) };
        // Profiles attach to names of their own, so that no two come at once; guards overlap freely.
        let subjects = match (kind, r.below(3)) {
            (BlockKind::Profile, 0) => vec![selector(SelectorKey::Exec, format!("/p/{name}/*"))],
            (BlockKind::Profile, 1) => vec![
                selector(SelectorKey::Exec, format!("/p/{name}/*")),
                selector(SelectorKey::Unit, format!("{name}*.service")),
            ],
            (BlockKind::Profile, _) => vec![selector(SelectorKey::Unit, format!("{name}.service"))],
            (_, 0) => vec![selector(SelectorKey::Exec, "/p/**".to_owned()), selector(SelectorKey::Exec, glob(r).0)],
            (_, 1) => vec![selector(SelectorKey::Unit, format!("{}*.service", r.pick(&["p", "p0", "p1", "x"])))],
            _ => vec![selector(SelectorKey::Host, "*".to_owned())],
        };
        let governs = match r.below(3) {
            0 => VerbSet::from_bits(0xfff),
            1 => VerbSet::FILE,
            _ => verbs(r, VerbSet::from_bits(0xfff)),
        };
        let on_violation_of: BTreeMap<Verb, Outcome> =
            if r.one_in(2) { BTreeMap::from([(*r.pick(&Verb::ALL), outcome(r))]) } else { BTreeMap::new() };
        let mut rules: Vec<Rule> = (0..r.below(12)).map(|i| rule(r, kind, i)).collect();
        if kind == BlockKind::Profile && r.one_in(3) {
            let target = format!("p{}", r.below(profiles));
            let paths = vec![Glob(format!("/switch/{target}"))];
            let verbs = VerbSet::from_iter([Verb::Exec]);
            let (paths, except) = match r.below(3) {
                0 => (vec![Glob(format!("/{{switch,p}}/{target}{{,/**}}"))], except(r, |r| Glob(program(r)))),
                _ => (paths, Vec::new()),
            };
            let object = Object::File { verbs, paths, except, switch: Some(target) };
            rules.push(Rule { effect: Effect::Allow, object, ..rule(r, kind, 99) });
        }
        all.push(Block {
            kind,
            name,
            mode: *r.pick(Mode::ALL),
            subjects,
            governs: if kind == BlockKind::Guard { VerbSet::ALL } else { governs },
            active: None,
            on_violation: outcome(r),
            on_violation_of,
            rules,
            nevers: Vec::new(),
            limits: Vec::new(),
        });
    }
    Policy { edition: 1, windows: BTreeMap::new(), blocks: all }
}

const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];

/// The same with up to four windows, on rules and blocks.
pub(crate) fn timed_policy(r: &mut Random) -> Policy {
    let mut policy = policy(r);
    let minute = |r: &mut Random| *r.pick(&[0, 1, 30, 90, 120, 150, 179, 180, 720, 1080, 1320, 1439, 1440]);
    let span = |r: &mut Random| Span {
        days: if r.one_in(3) { [true; 7] } else { std::array::from_fn(|_| r.one_in(2)) },
        start: minute(r) % 1440,
        end: minute(r),
        zone: (*r.pick(&ZONES)).to_owned(),
    };
    let n = 1 + r.below(4);
    policy.windows = (0..n).map(|n| (format!("w{n}"), Window { spans: r.some(2, span) })).collect();
    let name = |r: &mut Random| format!("w{}", r.below(n));
    for block in &mut policy.blocks {
        if r.one_in(3) {
            let otherwise = (block.kind == BlockKind::Profile && r.one_in(2)).then_some(Action::Kill);
            block.active = Some(Active { window: name(r), otherwise, because: Vec::new() });
        }
        for rule in &mut block.rules {
            let switches = matches!(rule.object, Object::File { switch: Some(_), .. });
            while !switches && rule.conditions.len() < 2 && r.one_in(3) {
                rule.conditions.push(Condition::During(name(r)));
            }
        }
    }
    policy
}

/// The users of [`user_policy`], as passwd(5) has them.
pub(crate) const PASSWD: &str =
    "root:x:0:0::/root:/bin/sh\nalice:x:1:1::/:/bin/sh\nbob:x:2:2::/:/bin/sh\ncarol:x:3:3::/:/bin/sh\n";
const SOME_USERS: [&str; 7] = ["alice", "bob", "{alice,bob}", "[ac]*", "root", "7", "*"];

/// A number and the name by which the evaluator knows it.
pub(crate) fn user(r: &mut Random) -> (u32, &'static str) {
    *r.pick(&[(0, "root"), (1, "alice"), (2, "bob"), (3, "carol"), (7, "7"), (9, "9"), (u32::MAX, "4294967295")])
}

/// Often with windows, and with users on rules and blocks. Where a profile is of some users, it is the only one.
pub(crate) fn user_policy(r: &mut Random) -> Policy {
    let mut policy = if r.one_in(2) { timed_policy(r) } else { policy(r) };
    let selector =
        |r: &mut Random| Selector { key: SelectorKey::User, pattern: Glob((*r.pick(&SOME_USERS)).to_owned()) };
    if r.one_in(3) {
        for pattern in ["bob", "{alice,carol}"].into_iter().take(1 + r.below(2)) {
            let some = policy.blocks.iter().find(|b| b.kind == BlockKind::Profile).cloned();
            let Some(some) = some.filter(|b| !b.rules.iter().any(switches)) else { break };
            let subjects = vec![vec![Selector { key: SelectorKey::User, pattern: Glob(pattern.to_owned()) }]];
            policy.blocks.push(Block { name: format!("u_{}", pattern.len()), subjects, ..some });
        }
    }
    let alone = policy.blocks.iter().filter(|b| b.kind == BlockKind::Profile).count() == 1 && r.one_in(2);
    let switched = policy.blocks.iter().any(|b| b.rules.iter().any(switches));
    for block in &mut policy.blocks {
        let of_some = if block.kind == BlockKind::Guard { r.one_in(2) } else { alone && !switched };
        if of_some {
            let users = r.some(2, |r| r.some(2, selector));
            let lines = block.subjects.iter().flat_map(|l| users.iter().map(move |u| [&l[..], &u[..]].concat()));
            block.subjects = lines.collect();
        }
        for rule in block.rules.iter_mut().filter(|rule| !switches(rule)) {
            while rule.conditions.len() < 3 && r.one_in(3) {
                let by = r.some(2, selector);
                // The tables are held to the policy's text.
                rule.text += &by.iter().map(|s| format!(" by user \"{}\"", s.pattern.0)).collect::<String>();
                rule.conditions.push(Condition::By(by));
            }
        }
    }
    policy
}

fn switches(rule: &Rule) -> bool {
    matches!(rule.object, Object::File { switch: Some(_), .. })
}

/// Seconds of an instant, often at a change of the clock or where a window may open or close.
pub(crate) fn instant(r: &mut Random) -> i64 {
    // 2026-03-29T01:00Z and 2026-10-25T01:00Z (Berlin), 2026-11-01T06:00Z (New York), 2026-04-04T15:00Z (Lord Howe).
    let changes = [1_774_746_000, 1_792_890_000, 1_793_512_800, 1_775_314_800, 1_767_225_600];
    let near = *r.pick(&changes) + 1800 * (r.below(400) as i64 - 200);
    match r.below(3) {
        0 => 1_767_225_600 + r.below(86_400 * 400) as i64,
        1 => near,
        _ => near + r.below(3) as i64 - 1,
    }
}

/// An owned object of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Path(Vec<u8>),
    Unix(Vec<u8>),
    Net(Proto, [u8; 16], u16),
    Capability(u8),
    Kernel(KernelOp),
    Unresolved,
    UnknownAddress,
}

/// A request, near the rules often enough.
pub(crate) fn request(r: &mut Random) -> (Verb, Asked) {
    let file: Vec<Verb> = VerbSet::FILE.iter().collect();
    let net: Vec<Verb> = VerbSet::NETWORK.iter().collect();
    match r.below(15) {
        0..6 => (*r.pick(&file), Asked::Path(path(r))),
        6..10 => (
            *r.pick(&net),
            Asked::Net(*r.pick(&[Proto::Tcp, Proto::Tcp, Proto::Udp, Proto::Icmp, Proto::Sctp]), address(r), port(r)),
        ),
        10 => (*r.pick(&net), Asked::Unix(if r.one_in(2) { path(r) } else { abstract_name(r).into_bytes() })),
        11 => (Verb::Capability, Asked::Capability(r.below(64) as u8)),
        12 => (Verb::Kernel, Asked::Kernel(*r.pick(KernelOp::ALL))),
        13 => (*r.pick(&net), Asked::UnknownAddress),
        _ => (*r.pick(&[file, net].concat()), Asked::Unresolved),
    }
}

/// A program or unit that may change the subject.
pub(crate) fn program(r: &mut Random) -> String {
    match r.below(4) {
        0 => format!("/switch/p{}", r.below(4)),
        1 => String::from_utf8_lossy(&path(r)).into_owned(),
        _ => format!("/p/p{}/{}", r.below(4), r.pick(&NAMES)),
    }
}
pub(crate) fn unit(r: &mut Random) -> String {
    format!("{}{}.service", r.pick(&["p", "x", "y", "_", "cpu", "p\\x2d"]), r.pick(&["0", "1", "2", "3", "01", ""]))
}
