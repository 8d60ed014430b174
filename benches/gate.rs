//! Events a second through the gate: judge alone, judge and emit, one core and two, on 100,000 synthetic events (59 MB).

use std::io;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kiln::gate::engine::graded::{self, Graded, Marks, Memory, Shape, Weights};
use kiln::gate::engine::scbe::{self, Scbe};
use kiln::gate::engine::{Arena, Profile};
use kiln::gate::run::{DryRun, Settings, Sink, Source, run};

#[path = "../tests/support/gate_events.rs"]
mod gate_events;

use gate_events::NOW;

const EVENTS: u64 = 100_000;

struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, lines: &[u8], errors: &[u8]) -> io::Result<()> {
        std::hint::black_box((lines, errors));
        Ok(())
    }
}

fn judge_only<P: Profile>(profile: &P, memory: &mut P::Memory, lines: &[&str]) {
    let (mut reader, mut arena) = (profile.reader(), Arena::default());
    for line in lines {
        arena.bytes.clear();
        if let Ok(mut item) = profile.read(&mut reader, line, &mut arena) {
            profile.settle(&mut item, &arena, memory, NOW);
            std::hint::black_box(&item);
        }
    }
}

fn whole<P: Profile>(profile: &P, memory: &mut P::Memory, input: &[u8], jobs: usize) {
    let settings = Settings { alerts_only: false, jobs, plans: false };
    let source = Source::new(input, 0, Arc::default());
    let summary =
        run(profile, source, memory, None::<&mut DryRun>, &mut Nowhere, || NOW, |_: &P::Memory| Ok(()), settings);
    assert_eq!(summary.expect("a slice reads without error").events_emitted, EVENTS);
}

fn bench<P: Profile>(c: &mut Criterion, name: &str, profile: &P, memory: impl Fn() -> P::Memory, input: &[u8]) {
    let text = std::str::from_utf8(input).expect("ASCII");
    let lines: Vec<&str> = text.lines().collect();
    let mut group = c.benchmark_group(name);
    group.sample_size(10).throughput(Throughput::Elements(EVENTS));
    group.bench_function("decide, one core", |b| b.iter(|| judge_only(profile, &mut memory(), &lines)));
    group.bench_function("decide and emit, one core", |b| b.iter(|| whole(profile, &mut memory(), input, 1)));
    group.bench_function("decide and emit, two cores", |b| b.iter(|| whole(profile, &mut memory(), input, 2)));
    group.finish();
}

fn gate(c: &mut Criterion) {
    let input = gate_events::events(EVENTS);
    let host_default = || "linux-node".to_owned();
    let options =
        scbe::Options { host_default: host_default(), include_kernel_event: false, pretty: false, enforcement: None };
    bench(c, "gate scbe", &Scbe { options }, Default::default, &input);
    let options = graded::Options {
        host_default: host_default(),
        source: None,
        include_kernel_event: false,
        pretty: false,
        shape: Shape::Gate,
        enforcement: None,
    };
    let weights = Weights::built_in().expect("the built-in weights are valid");
    bench(c, "gate default", &Graded { options, weights, marks: Marks::default() }, Memory::default, &input);
}

criterion_group!(benches, gate);
criterion_main!(benches);
