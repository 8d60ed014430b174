//! Ten million suspicious events of ten million distinct processes through a memory of a million: the resident memory
//! after each million, which has to stay within its bound and flat.

use std::io::{self, Read};
use std::sync::Arc;

use kiln::gate::engine::Profile;
use kiln::gate::engine::graded::{Graded, Marks, Memory, Options, Shape, Weights};
use kiln::gate::run::{DryRun, Settings, Sink, Source, run};

const MILLIONS: u64 = 10;
const MILLION: u64 = 1_000_000;
const BOUND_KIB: u64 = 128 << 10;
/// 2026-11-20T11:00:00Z in nanoseconds since 1970.
const NOW: i64 = 1_795_172_400_000_000_000;

struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, lines: &[u8], errors: &[u8]) -> io::Result<()> {
        assert!(errors.is_empty(), "{}", String::from_utf8_lossy(errors));
        std::hint::black_box(lines);
        Ok(())
    }
}

/// A line of `/proc/self/status`, in KiB.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
}

/// Makes the events as they are read, so that they take no memory, and notes what is resident after each million.
struct Events {
    next: u64,
    line: Vec<u8>,
    resident: Vec<u64>,
}

impl Read for &mut Events {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use io::Write;
        let mut used = 0;
        while self.next < MILLIONS * MILLION {
            if self.line.is_empty() {
                let start = self.next + 1;
                write!(
                    self.line,
                    r#"{{"rule":"System user interactive","priority":"Notice","tags":["mitre_execution"],"output_fields":{{"evt.type":"execve","proc.name":"x","proc.pid":8,"proc.pid.ts":{start}}},"time":"2026-11-20T11:00:00Z"}}"#
                )?;
                self.line.push(b'\n');
            }
            if buffer.len() - used < self.line.len() {
                break;
            }
            buffer[used..used + self.line.len()].copy_from_slice(&self.line);
            used += self.line.len();
            self.line.clear();
            self.next += 1;
            if self.next.is_multiple_of(MILLION) {
                let resident = status("VmRSS:");
                println!("{:3} million events: {:4} MiB resident", self.next / MILLION, resident >> 10);
                self.resident.push(resident);
            }
        }
        Ok(used)
    }
}

fn main() {
    let options = Options {
        host_default: "h".to_owned(),
        source: None,
        include_kernel_event: false,
        pretty: false,
        shape: Shape::Gate,
        enforcement: None,
    };
    let profile = Graded {
        options,
        weights: Weights::built_in().expect("the built-in weights are valid"),
        marks: Marks::default(),
    };
    let mut memory: <Graded as Profile>::Memory = Memory::with_capacity(MILLION as usize);
    let mut events = Events { next: 0, line: Vec::new(), resident: Vec::new() };
    let settings = Settings { alerts_only: false, jobs: 1, plans: false };
    let source = Source::new(&mut events, 0, Arc::default());
    let keep = |_: &Memory| Ok(());
    let summary = run(&profile, source, &mut memory, None::<&mut DryRun>, &mut Nowhere, || NOW, keep, settings)
        .expect("it reads and writes memory only");
    let most = status("VmHWM:");
    println!("{} processes remembered, {} forgotten; {} MiB at most", memory.len(), memory.evicted, most >> 10);

    assert_eq!(summary.events_emitted, MILLIONS * MILLION);
    assert!(memory.len() as u64 <= MILLION && memory.len() as u64 > MILLION / 2, "a million are to be remembered");
    assert!(most <= BOUND_KIB, "{most} KiB are more than {BOUND_KIB}");
    let (first, last) = (events.resident[0], events.resident[events.resident.len() - 1]);
    assert!(last <= first + (4 << 10), "it grew from {first} KiB to {last} KiB");
}
