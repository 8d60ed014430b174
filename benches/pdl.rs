//! Checking and formatting policies of 10, 100, 1,000 and 10,000 rules.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kiln::pdl::{NoFiles, Source, format};
use kiln::policy::load;

/// A policy of so many rules, a tenth of them network rules, with a guard that is compared with all of them.
fn policy(rules: usize) -> String {
    let mut text = String::from(
        "pdl 1;\nguard g {\n  subject host \"*\";\n  never allow read \"/etc/shadow\";\n  never allow connect tcp to \"169.254.169.254/32\";\n}\n",
    );
    for (n, profile) in (0..rules).collect::<Vec<_>>().chunks(100).enumerate() {
        let _ = writeln!(text, "profile p{n} {{\n  subject unit \"p{n}.service\";");
        for rule in profile {
            let _ = match rule % 10 {
                0 => writeln!(
                    text,
                    "  allow connect tcp to \"10.{}.{}.0/24\" port {};",
                    rule / 256 % 256,
                    rule % 256,
                    1 + rule % 60000
                ),
                _ => writeln!(
                    text,
                    "  allow read, write \"/srv/p{n}/{rule}/**\", \"/var/lib/p{n}/{rule}-*.db\" because manifest \"p{n}.service:{rule}\";"
                ),
            };
        }
        text.push_str("}\n");
    }
    text
}

fn pdl(c: &mut Criterion) {
    for rules in [10, 100, 1_000, 10_000] {
        let text = policy(rules);
        let mut group = c.benchmark_group("pdl");
        group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::new("check", rules), &text, |b, text| {
            let sources = [Source::new("bench.pdl", text)];
            b.iter(|| load(black_box(&sources), &NoFiles).unwrap());
        });
        group.bench_with_input(BenchmarkId::new("format", rules), &text, |b, text| {
            b.iter(|| format(black_box(text)).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, pdl);
criterion_main!(benches);
