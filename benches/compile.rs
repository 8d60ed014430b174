//! How long a policy takes from the normal form to the bytes of its tables.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

#[path = "../tests/support/policies.rs"]
mod policies;

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    for rules in [100, 1000, 10_000] {
        let policy = policies::policy(rules);
        let tables = || kiln::compile::compile(&policy, &policies::options()).unwrap();
        let words = tables().kernel.words.len();
        eprintln!(
            "{rules} rules: {words} words, {:.1} % of the map",
            words as f64 / kiln::abi::layout::USABLE_WORDS as f64 * 100.0
        );
        group.bench_with_input(BenchmarkId::from_parameter(rules), &rules, |b, _| {
            b.iter(|| tables().to_bytes().unwrap())
        });
    }
    group.finish();
}

criterion_group!(benches, compile);
criterion_main!(benches);
