//! Connections by name: tables ≡ the reference evaluator, for an address that a name server gave for a name.

use std::collections::BTreeMap;

use kiln_base::abi::layout::{H_DATAGRAM, H_DNS, S_DNS};
use kiln_base::model::{Proto, Verb};
use kiln_base::window::OpenTimes;

use super::laws::{attachment, evaluated_at, in_quarantine, options, said};
use super::random::{self, Asked, Random};
use super::*;
use crate::policy::eval::{Atom, Evaluator, Target};
use crate::policy::normal::*;

const PATTERNS: [&str; 7] =
    ["api.example", "*.example", "api.*", "{a,b}.cdn.test", "*.cdn.test", "**", "[a-f]pi.example"];
const NAMES: [&str; 8] =
    ["api.example", "x.y.example", "api.test", "a.cdn.test", "c.cdn.test", "cdn.test", "fpi.example", "other"];

/// Some of the permissions to connect become permissions by name.
fn with_names(r: &mut Random, policy: &mut Policy) {
    for rule in policy.blocks.iter_mut().flat_map(|b| &mut b.rules) {
        if let Object::Net { verbs, addresses, .. } = &mut rule.object
            && rule.effect == Effect::Allow
            && r.one_in(2)
        {
            *verbs = [Verb::Connect].into_iter().collect();
            *addresses = Addresses::Dns((*r.pick(&PATTERNS)).to_owned());
        }
    }
}

/// A protocol and a port that some rule by name permits, and a subject with its profile.
fn by_a_rule(r: &mut Random, policy: &Policy, tables: &Tables) -> Option<(u32, Proto, u16)> {
    let rules = policy.blocks.iter().flat_map(|b| b.rules.iter().map(move |rule| (b, rule)));
    let named: Vec<_> = rules
        .filter_map(|(b, rule)| match &rule.object {
            Object::Net { proto, addresses: Addresses::Dns(_), ports, .. } => Some((b, *proto, ports)),
            _ => None,
        })
        .collect();
    let (block, proto, ports) = *named.get(r.below(named.len().max(1)))?;
    let has = |n: &u32| tables.metadata.subjects[*n as usize - 1].profile.as_ref() == Some(&block.name);
    let subjects: Vec<u32> = (1..=tables.metadata.subjects.len() as u32).filter(has).collect();
    let range = r.pick(ports);
    let port = *r.pick(&[range.first, range.last, range.last.wrapping_add(1)]);
    (!subjects.is_empty()).then(|| (*r.pick(&subjects), proto, port))
}

#[test]
fn tables_decide_on_names_as_the_evaluator_does() {
    let (mut words, mut by_name) = (BTreeMap::new(), 0);
    for seed in 0..100 {
        let mut r = Random(seed);
        let mut policy = random::policy(&mut r);
        with_names(&mut r, &mut policy);
        let tables = compile(&policy, &options()).unwrap_or_else(|e| panic!("seed {seed}: {e} {e:?}"));
        let evaluator = Evaluator::new(&policy).unwrap();
        for _ in 0..400 {
            let (_, asked) = random::request(&mut r);
            let mut subject = 1 + r.below(tables.metadata.subjects.len()) as u32;
            let Asked::Net(mut proto, address, mut port) = asked else { continue };
            if let Some(asked) = by_a_rule(&mut r, &policy, &tables).filter(|_| r.one_in(2)) {
                (subject, proto, port) = asked;
            }
            if subject == 2 {
                continue;
            }
            let name = *r.pick(&NAMES);
            let set = tables.kernel.name_set(name.as_bytes());
            let sets: Vec<u8> = Some(set).filter(|s| *s != 0).into_iter().collect();
            let verdict = tables.kernel.named_verdict(subject, (proto as u8, address, port), &sets).unwrap();
            let target = Target::Ip { proto, address: Some(address), name: Some(name.to_owned()), port };
            let atom = Atom { verb: Verb::Connect, target };
            let attachment = attachment(&policy, &tables, subject);
            let outside = evaluated_at(&policy, &evaluator, &attachment, &atom, jiff::Timestamp::UNIX_EPOCH);
            let inside = tables.metadata.subjects[subject as usize - 1].quarantined();
            let expected = if inside { in_quarantine(outside) } else { outside };
            let context = || format!("seed {seed} subject {subject} {name} {proto:?} {address:?} {port}\n{policy:#?}");
            assert_eq!(said(verdict), expected, "{}", context());
            *words.entry(said(verdict).0).or_insert(0) += 1;
            let plain = tables.kernel.named_verdict(subject, (proto as u8, address, port), &[]).unwrap();
            assert!(verdict.permits() || !plain.permits(), "a name takes away: {}", context());
            by_name += usize::from(verdict.permits() && !plain.permits());
        }
    }
    assert!(["allow", "deny", "would"].iter().all(|w| words[w] > 50) && by_name > 40, "{words:?} {by_name}");
}

/// An address that several names have is permitted by any of them.
#[test]
fn the_name_that_permits_most_decides() {
    let tables = tables(r#"allow connect tcp to dns "a.test" port 1; allow connect tcp to dns "*.test" port 2;"#);
    let set = |name: &str| tables.kernel.name_set(name.as_bytes());
    let (a, other) = (set("a.test"), set("b.test"));
    assert!(a != 0 && other != 0 && a != other && set("test") == 0 && set("") == 0);
    let permits = |port, sets: &[u8]| {
        let asked = (Proto::Tcp as u8, [9; 16], port);
        tables.kernel.named_verdict(3, asked, sets).unwrap().permits()
    };
    assert!(permits(1, &[a]) && permits(2, &[a]) && !permits(3, &[a]));
    assert!(!permits(1, &[other]) && permits(2, &[other]));
    assert!(permits(1, &[other, a]) && permits(1, &[a, other]) && !permits(1, &[]));
    // A number that no set has says nothing.
    assert!(!permits(1, &[0]) && !permits(1, &[255]));
    let s = tables.kernel.subject(3).unwrap();
    assert_eq!(s.flags & S_DNS, S_DNS);
    assert_eq!(tables.kernel.subject(1).unwrap().flags & S_DNS, 0, "the host has no such rule");
    let hooks = tables.kernel.header.required_hooks_lo;
    assert_eq!(hooks & (H_DNS | H_DATAGRAM), H_DNS | H_DATAGRAM);
}

fn tables(rules: &str) -> Tables {
    let text = format!("pdl 1; profile p {{ subject unit \"a.service\"; governs connect; {rules} }}");
    let policy = crate::policy::load(&[crate::pdl::Source::new("p", &text)], &crate::pdl::NoFiles).unwrap();
    compile(&policy, &options()).unwrap()
}

/// What was learned stays where the names stay, and means nothing to other names.
#[test]
fn the_key_tells_names_apart() {
    let key = |rules: &str| tables(rules).kernel.header.names_key;
    let one = key(r#"allow connect tcp to dns "a.test";"#);
    assert_ne!(one, 0);
    assert_eq!(one & 0xff, 0);
    assert_eq!(one, key(r#"allow connect udp to dns "A.test." port 9; allow connect tcp to "10.0.0.0/8";"#));
    assert_ne!(one, key(r#"allow connect tcp to dns "b.test";"#));
    assert_ne!(one, key(r#"allow connect tcp to dns "a.test"; allow connect tcp to dns "b.test";"#));
    assert_eq!(key(r#"allow connect tcp to "10.0.0.0/8";"#), 0);
}

#[test]
fn too_many_sets_of_names_are_refused() {
    let names = |n: usize| (0..n).map(|n| format!("allow connect tcp to dns \"h{n}.test\";")).collect::<String>();
    assert_eq!(tables(&names(255)).kernel.header.n_names, 255);
    let text = format!("pdl 1; profile p {{ subject unit \"a.service\"; governs connect; {} }}", names(256));
    let policy = crate::policy::load(&[crate::pdl::Source::new("p", &text)], &crate::pdl::NoFiles).unwrap();
    assert!(matches!(compile(&policy, &options()), Err(CompileError::Names(255))));
}

/// A permission by name in a window holds while that is open.
#[test]
fn names_hang_on_windows_as_addresses_do() {
    let mut differs = 0;
    for seed in 0..30 {
        let mut r = Random(seed);
        let mut policy = random::timed_policy(&mut r);
        with_names(&mut r, &mut policy);
        let tables = compile(&policy, &options()).unwrap_or_else(|e| panic!("seed {seed}: {e} {e:?}"));
        let evaluator = Evaluator::new(&policy).unwrap();
        let times = OpenTimes::new(tables.metadata.windows.iter().map(|w| (&w.name, &w.window))).unwrap();
        for _ in 0..200 {
            let Some((subject, proto, port)) = by_a_rule(&mut r, &policy, &tables) else { break };
            let at = jiff::Timestamp::from_second(random::instant(&mut r)).unwrap();
            let name = *r.pick(&NAMES);
            let sets = [tables.kernel.name_set(name.as_bytes())];
            let decide = |open| {
                let deciding = tables.kernel.deciding(subject, open, None);
                tables.kernel.named_verdict(deciding, (proto as u8, [7; 16], port), &sets).unwrap()
            };
            let now = decide(Some(times.open(at)));
            let target = Target::Ip { proto, address: Some([7; 16]), name: Some(name.to_owned()), port };
            let atom = Atom { verb: Verb::Connect, target };
            let outside = evaluated_at(&policy, &evaluator, &attachment(&policy, &tables, subject), &atom, at);
            let inside = tables.metadata.subjects[subject as usize - 1].quarantined();
            let expected = if inside { in_quarantine(outside) } else { outside };
            assert_eq!(said(now), expected, "seed {seed} subject {subject} {name} {proto:?} {port} {at}\n{policy:#?}");
            differs += usize::from(now.permits() && !decide(None).permits());
        }
    }
    assert!(differs > 20, "{differs}");
}
