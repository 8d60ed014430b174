//! What one decision costs in the kernel of this machine, by BPF_PROG_TEST_RUN: from the label to the verdict, over
//! rules and length of path. Needs root.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

// The test asks for more than the benchmark.
#[allow(dead_code)]
#[path = "../tests/support/decide.rs"]
mod decide;
#[path = "../tests/support/policies.rs"]
mod policies;

use decide::{Decide, Request};

/// The subject of the only profile.
const SUBJECT: u32 = 3;

fn request(path: &[u8], copy: bool) -> Request<'_> {
    Request { subject: SUBJECT, verb: 0, kind: 0, bit: 0, net: [0; 19], path, now: 0, user: None, copy }
}

fn decisions(c: &mut Criterion) {
    // The scratch is the CPU's: stay on one.
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(0);
    rustix::thread::sched_setaffinity(None, &cpus).unwrap();
    let mut decide = Decide::new();
    let mut group = c.benchmark_group("decision");
    group.bench_function("nothing", |b| b.iter_custom(|n| decide.run("nothing", n.min(1 << 24) as u32) * n as u32));
    for rules in [10, 100, 1000, 10_000] {
        let tables = kiln::compile::compile(&policies::policy(rules), &policies::options()).unwrap();
        decide.load(&tables.kernel.to_bytes());
        for len in [20, 64, 200] {
            let path = policies::probe(len).into_bytes();
            // The path gets into the scratch, and is permitted: nothing is reported.
            let answer = decide.ask(&request(&path, true));
            assert_eq!((answer.ret, answer.reported), (0, 0));
            decide.put(&request(&path, false));
            group.bench_with_input(BenchmarkId::new(format!("{rules}_rules"), len), &len, |b, _| {
                b.iter_custom(|n| decide.run("decide", n.min(1 << 24) as u32) * n as u32)
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
