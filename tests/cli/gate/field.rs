//! What the gate says of events that people have reported: how often it errs, and how often it misses.
//!
//! `tests/corpus/gate/field/README.md` says where they are from, and which half the weights were set with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kiln::gate::engine::graded::{Graded, Marks, Memory, Options, Shape, Weights};
use kiln::gate::engine::{Action, Arena, Profile};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::corpus;

/// One report.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    name: String,
    source: String,
    times: u32,
    every: i64,
    events: Vec<Value>,
}

/// What became of it.
struct Outcome {
    name: String,
    tuned: bool,
    first: Action,
    worst: Action,
}

pub fn gate() -> Graded {
    let options = Options {
        host_default: "h".to_owned(),
        source: None,
        include_kernel_event: false,
        pretty: false,
        shape: Shape::Gate,
        enforcement: None,
    };
    Graded { options, weights: Weights::built_in().expect("the built-in weights are valid"), marks: Marks::default() }
}

/// Feeds events so often, so many seconds apart, to a gate that has seen nothing: the first action and the worst.
pub fn trajectory(gate: &Graded, events: &[Value], times: u32, every: i64) -> (Action, Action) {
    let (mut reader, mut arena, mut memory) = (gate.reader(), Arena::default(), Memory::default());
    let (mut seconds, mut first, mut worst) = (1_780_000_000i64, None, Action::Allow);
    for _ in 0..times {
        for event in events {
            arena.bytes.clear();
            // The time of the report is not that of the test.
            let mut event = event.clone();
            event.as_object_mut().expect("an object").remove("time");
            match gate.read(&mut reader, &event.to_string(), &mut arena) {
                Ok(mut item) => {
                    gate.settle(&mut item, &arena, &mut memory, seconds * 1_000_000_000);
                    let action = gate.action(&item);
                    first.get_or_insert(action);
                    worst = worst.max(action);
                }
                Err(failed) => assert!(failed.notice, "{}", String::from_utf8_lossy(arena.get(failed.report))),
            }
            seconds += every;
        }
    }
    (first.unwrap_or(Action::Allow), worst)
}

fn outcomes(file: &str) -> Vec<Outcome> {
    let text = std::fs::read_to_string(corpus(file)).expect("the corpus is in the repository");
    let gate = gate();
    let reports = text.lines().map(|line| serde_json::from_str::<Report>(line).expect("a report"));
    reports
        .map(|report| {
            assert!(!report.source.is_empty(), "{}", report.name);
            let (first, worst) = trajectory(&gate, &report.events, report.times, report.every);
            // The half is the name's, so that nobody chooses it.
            let tuned = Sha256::digest(&report.name)[0].is_multiple_of(2);
            Outcome { name: report.name, tuned, first, worst }
        })
        .collect()
}

/// A line of the table in docs/gate.md.
fn line(what: &str, list: &[&Outcome]) -> String {
    let count = |holds: fn(Action) -> bool| list.iter().filter(|outcome| holds(outcome.worst)).count();
    let share = |n: usize| format!("{n} ({:.1} %)", n as f64 * 100.0 / list.len() as f64);
    format!(
        "| {what} | {} | {} | {} | {} | {} |\n",
        list.len(),
        share(count(|a| a == Action::Allow)),
        share(count(|a| a == Action::Throttle)),
        share(count(|a| a == Action::Quarantine)),
        share(count(|a| a > Action::Quarantine)),
    )
}

#[test]
fn the_rates_in_the_documentation_are_those_of_the_corpus() {
    let (benign, attack) = (outcomes("field/benign.jsonl"), outcomes("field/attack.jsonl"));
    let mut table = String::new();
    for (what, list) in [("benign", &benign), ("attack", &attack)] {
        for (half, tuned) in [("tuned on", true), ("held out", false)] {
            let chosen: Vec<&Outcome> = list.iter().filter(|outcome| outcome.tuned == tuned).collect();
            table += &line(&format!("{what}, {half}"), &chosen);
        }
    }
    if std::env::var_os("KILN_FIELD").is_some() {
        let mut names = BTreeMap::<String, Vec<String>>::new();
        for (what, list) in [("benign", &benign), ("attack", &attack)] {
            for outcome in list.iter().filter(|outcome| outcome.tuned) {
                names.entry(format!("{what} {:?}", outcome.worst)).or_default().push(outcome.name.clone());
            }
        }
        eprintln!("{table}\n{names:#?}");
    }
    let documentation = include_str!("../../../docs/gate.md");
    for line in table.lines() {
        assert!(documentation.contains(line), "docs/gate.md has not: {line}\n\n{table}");
    }
    assert!(benign.len() + attack.len() >= 400);
}

#[test]
fn what_is_benign_does_not_grow() {
    let mut grown = String::new();
    for outcome in outcomes("field/benign.jsonl") {
        // Repetition of the same is not new evidence.
        if outcome.worst > outcome.first || outcome.worst > Action::Quarantine {
            let _ = writeln!(grown, "{}: {:?}, then {:?}", outcome.name, outcome.first, outcome.worst);
        }
    }
    assert!(grown.is_empty(), "{grown}");
}
