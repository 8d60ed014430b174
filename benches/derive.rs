//! Derivation over images that grow: paths of a unit, drop-ins, other names, locations of nginx. Twice as many take twice as long.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kiln::derive::{derive, render};
use kiln::manifest::dpkg::Database;
use kiln::manifest::systemd::census;
use kiln::manifest::{Root, service};
use kiln::model::Mode;
use kiln::pdl::{NoFiles, Source};
use kiln::policy::load;

const UNITS: &str = "usr/lib/systemd/system";

fn write(root: &Path, path: &str, text: &str) {
    let at = root.join(path);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(at, text).unwrap();
}

/// An image whose service declares `n` things of one kind.
fn image(kind: &str, n: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "usr/sbin/nginx", "#!/bin/none\n");
    write(root, &format!("{UNITS}/nginx.service"), "[Service]\nExecStart=/usr/sbin/nginx\n");
    let mut locations = String::new();
    match kind {
        "locations" => {
            for i in 0..n {
                locations +=
                    &format!("location /{i} {{ root /srv/{i}; proxy_pass http://10.0.{}.{}; }}\n", i / 256, i % 256);
            }
        }
        "drop-ins" => {
            for i in 0..n {
                let text = format!("[Service]\nReadWritePaths=/srv/{i}\n");
                write(root, &format!("{UNITS}/nginx.service.d/{i:06}.conf"), &text);
            }
        }
        "aliases" => {
            for i in 0..n {
                symlink("nginx.service", root.join(format!("{UNITS}/a{i}.service"))).unwrap();
            }
        }
        _ => {
            let list: String = (0..n).map(|i| format!("ReadWritePaths=/srv/{i}\n")).collect();
            write(root, &format!("{UNITS}/nginx.service.d/1.conf"), &format!("[Service]\n{list}"));
        }
    }
    write(root, "etc/nginx/nginx.conf", &format!("events {{}} http {{ server {{ listen 80; {locations} }} }}"));
    dir
}

fn growth(c: &mut Criterion) {
    let mut group = c.benchmark_group("derive");
    group.sample_size(10);
    for kind in ["locations", "drop-ins", "aliases", "paths"] {
        for n in [1000, 2000, 4000] {
            let dir = image(kind, n);
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(BenchmarkId::new(kind, n), |b| {
                b.iter(|| {
                    let root = Root::open(dir.path()).unwrap();
                    let db = Database::read(&root).unwrap();
                    census::read(&root).unwrap();
                    let mut notes = Vec::new();
                    let facts = service::read(&root, &db, "nginx.service", &mut notes).unwrap();
                    render(&[derive(&facts, Mode::Enforce, notes)]).len()
                });
            });
        }
    }
    group.finish();
}

/// What `kiln derive` does with its own text before it gives it to anybody.
fn check(c: &mut Criterion) {
    let mut group = c.benchmark_group("check");
    group.sample_size(10);
    for n in [1000, 2000, 4000] {
        let rules: String = (0..n).map(|i| format!("  allow read, write \"/srv/{i}/**\";\n")).collect();
        let text = format!(
            "pdl 1;\nprofile p {{\n  subject unit \"nginx.service\";\n{rules}  allow exec \"/usr/bin/a\";\n}}\n"
        );
        let source = [Source::new("derived.pdl", &text)];
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new("paths", n), |b| b.iter(|| load(&source, &NoFiles).is_ok()));
    }
    group.finish();
}

criterion_group!(benches, growth, check);
criterion_main!(benches);
