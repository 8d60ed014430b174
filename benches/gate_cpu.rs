//! What an event costs the processor: CPU time and wall clock of 100,000 events (59 MB), the best of many runs.
//! On a machine that others use too, the CPU time is what repeats. Words choose the measurements, a number the runs:
//! `cargo bench --bench gate_cpu -- scbe 30`.

#[path = "../tests/support/gate_events.rs"]
mod gate_events;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln::gate::engine::graded::{self, Graded, Marks, Memory, Shape, Weights};
use kiln::gate::engine::scbe::{self, Scbe};
use kiln::gate::engine::{Arena, Profile};
use kiln::gate::run::{DryRun, Settings, Sink, Source, run};

use gate_events::NOW;

const EVENTS: u64 = 100_000;
const RUNS: usize = 15;

/// The arguments.
struct Chosen {
    words: Vec<String>,
    runs: usize,
}

impl Chosen {
    fn new() -> Chosen {
        let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
        let runs = words.iter().find_map(|word| word.parse().ok()).unwrap_or(RUNS);
        Chosen { words: words.into_iter().filter(|word| word.parse::<usize>().is_err()).collect(), runs }
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, lines: &[u8], errors: &[u8]) -> io::Result<()> {
        std::hint::black_box((lines, errors));
        Ok(())
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn measure(chosen: &Chosen, name: &str, mut work: impl FnMut()) {
    if !chosen.words.iter().all(|word| name.contains(word.as_str())) {
        return;
    }
    let (mut cpu, mut wall) = (Duration::MAX, Duration::MAX);
    for _ in 0..chosen.runs {
        let (started, used) = (Instant::now(), cpu_time());
        work();
        wall = wall.min(started.elapsed());
        cpu = cpu.min(cpu_time() - used);
    }
    let (per_event, rate) = (cpu.as_secs_f64() * 1e6 / EVENTS as f64, EVENTS as f64 / wall.as_secs_f64());
    println!("{name:44} {per_event:6.3} µs CPU an event   {rate:9.0} events/s by the clock");
}

fn profile<P: Profile>(chosen: &Chosen, name: &str, profile: &P, memory: impl Fn() -> P::Memory, input: &[u8]) {
    let lines: Vec<&str> = std::str::from_utf8(input).expect("ASCII").lines().collect();
    measure(chosen, &format!("{name}, decide, one core"), || {
        let (mut reader, mut arena, mut memory) = (profile.reader(), Arena::default(), memory());
        for line in &lines {
            arena.bytes.clear();
            let mut item = profile.read(&mut reader, line, &mut arena).expect("an event");
            profile.settle(&mut item, &arena, &mut memory, NOW);
            std::hint::black_box(&item);
        }
    });
    for (jobs, cores) in [(1, "one core"), (2, "two cores")] {
        measure(chosen, &format!("{name}, decide and emit, {cores}"), || {
            let settings = Settings { alerts_only: false, jobs, plans: false };
            let (source, mut memory) = (Source::new(input, 0, Arc::default()), memory());
            let keep = |_: &P::Memory| Ok(());
            let summary = run(profile, source, &mut memory, None::<&mut DryRun>, &mut Nowhere, || NOW, keep, settings);
            assert_eq!(summary.expect("a slice reads without error").events_emitted, EVENTS);
        });
    }
}

fn main() {
    let chosen = Chosen::new();
    let input = gate_events::events(EVENTS);
    println!("{} bytes a line", input.len() as u64 / EVENTS);
    let host_default = || "linux-node".to_owned();
    let options =
        scbe::Options { host_default: host_default(), include_kernel_event: false, pretty: false, enforcement: None };
    profile(&chosen, "scbe", &Scbe { options }, Default::default, &input);
    let options = graded::Options {
        host_default: host_default(),
        source: None,
        include_kernel_event: false,
        pretty: false,
        shape: Shape::Gate,
        enforcement: None,
    };
    let weights = Weights::built_in().expect("the built-in weights are valid");
    profile(&chosen, "default", &Graded { options, weights, marks: Marks::default() }, Memory::default, &input);
}
