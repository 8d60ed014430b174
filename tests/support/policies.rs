//! Policies of any size, shaped like those of real services.

use kiln::compile::{KernelVersion, Options};
use kiln::model::{Cidr, Digest, Mode, Outcome, PortRange, Proto, Verb, VerbSet};
use kiln::policy::normal::*;

/// What the compiler is told.
pub fn options() -> Options {
    Options { policy: Digest::of(b"bench"), serial: 1, kernel: KernelVersion::BASELINE }
}

/// A path of so many bytes, each of which takes the automaton to a state of its own.
pub fn probe(len: usize) -> String {
    let mut path = String::from("/usr/lib/svc");
    let mut n = 0;
    while path.len() < len {
        path.push_str(&format!("/part{n}-of.d"));
        n += 1;
    }
    path.truncate(len);
    // No name ends in a slash.
    if path.ends_with('/') {
        path.replace_range(len - 1.., "x")
    }
    path
}

/// One profile with `n` rules: the probes, libraries, directories, configuration, state, addresses.
pub fn policy(n: usize) -> Policy {
    let glob = |text: String| Glob(text);
    let file = |verbs: &[Verb], path: String| Object::File {
        verbs: verbs.iter().copied().collect(),
        paths: vec![glob(path)],
        except: Vec::new(),
        switch: None,
    };
    let mut objects: Vec<Object> = [20, 64, 200].map(|len| file(&[Verb::Read], probe(len))).into();
    for i in 3..n {
        let k = i / 10;
        objects.push(match i % 10 {
            0..3 => {
                file(&[Verb::Read, Verb::Load], format!("/usr/lib/x86_64-linux-gnu/lib{i}-{}.so.{}*", k % 7, k % 3))
            }
            3 => file(&[Verb::Read], format!("/usr/share/app{k}/**")),
            4 => file(&[Verb::Read], format!("/etc/app{k}/*.conf")),
            5 => file(&[Verb::Read, Verb::Modify, Verb::Create], format!("/var/lib/app{k}/data-?.db")),
            6 => file(&[Verb::Exec], format!("/usr/bin/tool-{k}")),
            7 => file(&[Verb::Read], format!("/srv/tenant{k}/*/public/**/index.{{html,json}}")),
            8 => file(&[Verb::Modify, Verb::Create, Verb::Delete], format!("/run/app{k}/[a-f0-9]*.sock")),
            _ => Object::Net {
                verbs: [Verb::Connect].into_iter().collect(),
                proto: Proto::Tcp,
                addresses: Addresses::Blocks(vec![Cidr::new(
                    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, (k >> 8) as u8, k as u8, 0],
                    120,
                )]),
                ports: vec![PortRange { first: 443, last: 443 + (k % 90) as u16 }],
            },
        });
    }
    objects.truncate(n);
    let rules = objects.into_iter().enumerate().map(|(n, object)| Rule {
        effect: Effect::Allow,
        object,
        conditions: Vec::new(),
        outcome: Outcome::default(),
        because: Vec::new(),
        text: format!("rule {n}"),
        origin: format!("bench.pdl:{n}"),
    });
    let selector = Selector { key: SelectorKey::Unit, pattern: Glob("svc.service".to_owned()) };
    let block = Block {
        kind: BlockKind::Profile,
        name: "svc".to_owned(),
        mode: Mode::Enforce,
        subjects: vec![vec![selector]],
        governs: VerbSet::FILE.union(VerbSet::NETWORK),
        active: None,
        on_violation: Outcome::default(),
        on_violation_of: Default::default(),
        rules: rules.collect(),
        nevers: Vec::new(),
        limits: Vec::new(),
    };
    Policy { edition: 1, windows: Default::default(), blocks: vec![block] }
}
