//! The SOC backend: nothing is lost, and nothing goes where it should not.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use super::gate;
use super::sink::{Answer, Sink};

/// Lines that each lead to an action, one a process.
pub fn suspicious(names: Range<usize>) -> String {
    names
        .map(|n| {
            format!(
                r#"{{"rule":"Fileless execution via memfd_create","priority":"Critical","tags":["T1620"],"output_fields":{{"evt.type":"execve","proc.name":"p{n}"}}}}"#
            ) + "\n"
        })
        .collect()
}

/// The names in [`suspicious`].
pub fn wanted(names: Range<usize>) -> BTreeSet<String> {
    names.map(|n| format!("p{n}")).collect()
}

/// Sends events to a sink; the gate has to end well whether the sink is there or not.
pub fn send(endpoint: &str, spool: &Path, ca: Option<&Path>, events: Range<usize>) {
    let mut command = gate();
    command
        .args(["--apply-enforcement", "--enforcement-backends", "soc", "--soc-timeout-seconds", "0.5"])
        .args(["--soc-endpoint", endpoint, "--soc-spool"])
        .arg(spool)
        .env("KILN_SOC_BEARER_TOKEN", "secret");
    if let Some(ca) = ca {
        command.arg("--soc-ca").arg(ca);
    }
    let output = command.write_stdin(suspicious(events)).output().expect("kiln runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Lets the gate deliver what it still has, until the sink has it all or patience ends. Returns what came.
pub fn deliver(
    sink: &Sink,
    endpoint: &str,
    spool: &Path,
    ca: Option<&Path>,
    all: &BTreeSet<String>,
) -> BTreeSet<String> {
    let mut found = sink.names();
    for _ in 0..20 {
        if found == *all {
            break;
        }
        send(endpoint, spool, ca, 0..0);
        found.extend(sink.names());
    }
    found
}

#[test]
fn nothing_is_lost_to_a_sink_that_fails_hangs_and_recovers() {
    let spool = tempfile::tempdir().expect("a directory");
    // The sink is down: the gate ends all the same, soon, and keeps what it has.
    let started = Instant::now();
    send("http://127.0.0.1:9/in", spool.path(), None, 0..50);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    // It is back, but fails, hangs, fails, and only then works; another process has more to say.
    let recovering = Sink::start(vec![Answer::Status(500), Answer::Hang, Answer::Status(503)], None);
    send(&recovering.http(), spool.path(), None, 50..100);
    let all = wanted(0..100);
    assert_eq!(deliver(&recovering, &recovering.http(), spool.path(), None, &all), all);
}

#[test]
fn a_redirect_is_not_followed() {
    let spool = tempfile::tempdir().expect("a directory");
    let elsewhere = Sink::start(Vec::new(), None);
    let sink = Sink::start(vec![Answer::Moved(elsewhere.port); 4], None);
    let all = wanted(0..5);
    send(&sink.http(), spool.path(), None, 0..5);
    assert_eq!(deliver(&sink, &sink.http(), spool.path(), None, &all), all, "a redirect is a failure, tried again");
    assert!(elsewhere.names().is_empty() && elsewhere.broken.try_recv().is_err(), "nobody was sent elsewhere");
}

#[test]
fn a_full_spool_is_a_failure_and_not_silence() {
    let spool = tempfile::tempdir().expect("a directory");
    let output = gate()
        .args(["--apply-enforcement", "--enforcement-backends", "soc", "--soc-timeout-seconds", "0.1"])
        .args(["--soc-endpoint", "http://127.0.0.1:9/in", "--soc-spool-bytes", "3000", "--soc-spool"])
        .arg(spool.path())
        .write_stdin(suspicious(0..50))
        .output()
        .expect("kiln runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("the spool is full"));
}
