//! Tables ≡ what the kernel programs decide by them, on the kernel of this machine.

use kiln_base::abi::layout::Outcome;
use kiln_base::abi::walk::{Verdict, net_key};
use kiln_base::model::{Action, Proto, Verb};

use super::decide::{Answer, Decide, Request, UNKNOWN_ADDRESS, UNRESOLVED};
use super::laws::{options, wanted};
use super::random::{self, Asked, Random};
use super::*;

const EPERM: i32 = 1;
const KINDS: [u32; 5] = [0, 1, 2, 3, 4];

pub(super) fn request<'a>(subject: u32, verb: Verb, asked: &'a Asked) -> Request<'a> {
    let [path, net, unix, capability, kernel] = KINDS;
    let mut r = Request {
        subject,
        verb: verb as u32,
        kind: UNRESOLVED,
        bit: 0,
        net: [0; 19],
        path: &[],
        now: 0,
        user: None,
        copy: true,
    };
    match asked {
        Asked::Path(p) => (r.kind, r.path) = (path, p),
        Asked::Unix(p) => (r.kind, r.path) = (unix, p),
        Asked::Net(proto, address, port) => (r.kind, r.net) = (net, net_key(*proto as u8, *address, *port)),
        Asked::Capability(n) => (r.kind, r.bit) = (capability, (*n).into()),
        Asked::Kernel(op) => (r.kind, r.bit) = (kernel, *op as u32),
        Asked::Unresolved => {}
        Asked::UnknownAddress => r.kind = UNKNOWN_ADDRESS,
    }
    r
}

/// What the kernel must do for a verdict.
pub(super) fn expected(verdict: Verdict, verb: Verb) -> Answer {
    let nothing =
        Answer { ret: 0, reported: 0, rule: 0, verdict: 0, severity: 0, action: 0, mode: 0, verb: 0, killed: 0 };
    let report = |number: u8, o: Outcome| Answer {
        reported: 1,
        rule: o.rule,
        verdict: number,
        severity: o.severity,
        action: o.action,
        mode: o.mode,
        verb: verb as u32,
        ..nothing
    };
    match verdict {
        Verdict::Allow => nothing,
        Verdict::Denied(o) => {
            let killed = if o.action == Action::Kill as u8 { 9 } else { 0 };
            Answer { ret: -EPERM, killed, ..report(0, o) }
        }
        Verdict::WouldDeny(o) => report(1, o),
        Verdict::Watched(o) => report(2, o),
    }
}

/// The host is never put into quarantine: it is told so, too.
pub(super) fn of_host(answer: Answer, subject: u32) -> Answer {
    let quarantine = Action::Quarantine as u8;
    if subject == 1 && answer.action == quarantine { Answer { action: Action::Alert as u8, ..answer } } else { answer }
}

/// What cannot be resolved never gets as far as a path.
pub(super) fn resolved((verb, asked): (Verb, Asked)) -> (Verb, Asked) {
    let asked = match asked {
        Asked::Path(p) | Asked::Unix(p) if !kiln_base::abi::walk::walkable(&p) => Asked::Unresolved,
        asked => asked,
    };
    (verb, asked)
}

#[test]
#[ignore = "loads a BPF program, for which it must be root; scripts/test runs it"]
fn the_kernel_decides_as_the_tables_say() {
    let mut decide = Decide::new();
    let (mut requests, mut refused, mut at_once) = (0, 0, 0);
    for seed in 1000..1250 {
        let mut r = Random(seed);
        let policy = random::policy(&mut r);
        let tables = compile(&policy, &options()).unwrap();
        decide.load(&tables.kernel.to_bytes());
        let n = tables.metadata.subjects.len();
        for _ in 0..420 {
            let (verb, asked) = resolved(random::request(&mut r));
            let subject = 1 + r.below(n) as u32;
            let verdict = tables.kernel.verdict(subject, verb, &wanted(&asked)).unwrap();
            let answer = decide.ask(&request(subject, verb, &asked));
            assert_eq!(
                answer,
                of_host(expected(verdict, verb), subject),
                "seed {seed} subject {subject} {verb} {asked:?}"
            );
            if let Asked::Net(proto, ..) = &asked {
                let s = tables.kernel.subject(subject).unwrap();
                let any = if *proto == Proto::Tcp { s.any_tcp } else { s.any_udp };
                at_once += any >> verb as u16 & 1;
            }
            requests += 1;
            refused += usize::from(answer.ret != 0);
        }
        // A label without a subject is refused whatever it asks.
        let (verb, asked) = resolved(random::request(&mut r));
        let unknown = if r.one_in(2) { n as u32 + 1 } else { 5000 };
        assert_eq!(decide.ask(&request(unknown, verb, &asked)).ret, -EPERM);
    }
    assert!(requests >= 100_000 && refused > 10_000 && refused < requests / 2, "{requests} {refused}");
    // Requests to which the address does not matter, and the kernel programs know it.
    assert!(at_once > 100, "{at_once}");
}

#[test]
#[ignore = "loads a BPF program, for which it must be root; scripts/test runs it"]
fn long_paths_are_walked_to_their_end() {
    let mut decide = Decide::new();
    let text = format!("/{}/end", "d".repeat(4000));
    let rule = |effect, path: &str| super::tests::file_rule(effect, path);
    use crate::policy::normal::Effect::Allow;
    let block = super::tests::block(crate::policy::normal::BlockKind::Profile, vec![rule(Allow, "/d*/end")]);
    let policy = Policy { edition: 1, windows: Default::default(), blocks: vec![block] };
    let tables = compile(&policy, &options()).unwrap();
    decide.load(&tables.kernel.to_bytes());
    for (path, permitted) in [(text.clone(), true), (format!("{text}s"), false), (text.replace("/end", "/enc"), false)]
    {
        let asked = Asked::Path(path.into_bytes());
        assert_eq!(decide.ask(&request(3, Verb::Read, &asked)).ret == 0, permitted);
    }
}

#[test]
#[ignore = "loads a BPF program, for which it must be root; scripts/test runs it"]
fn every_length_is_walked_in_whatever_pieces() {
    let mut decide = Decide::new();
    let mut r = Random(7);
    use crate::policy::normal::Effect::{Allow, Deny};
    // What is decided hangs on bytes at the end, at the beginning, and everywhere between.
    for patterns in ["/**b[ab]c", "/a**", "/{ab,ac,b,c/}*{a,b}", "/**c"] {
        let rules = vec![super::tests::file_rule(Allow, patterns), super::tests::file_rule(Deny, "/**ccccc**")];
        let block = super::tests::block(crate::policy::normal::BlockKind::Profile, rules);
        let policy = Policy { edition: 1, windows: Default::default(), blocks: vec![block] };
        let tables = compile(&policy, &options()).unwrap();
        decide.load(&tables.kernel.to_bytes());
        for len in (1..=200).chain((201..4000).step_by(37)).chain(4030..=4096) {
            let mut path = vec![b'/'];
            path.extend((1..len).map(|at| if at % 97 == 0 { b'/' } else { *r.pick(b"aaabbbc") }));
            let asked = Asked::Path(path);
            let verdict = tables.kernel.verdict(3, Verb::Read, &wanted(&asked)).unwrap();
            assert_eq!(decide.ask(&request(3, Verb::Read, &asked)), expected(verdict, Verb::Read), "{patterns} {len}");
        }
    }
}
