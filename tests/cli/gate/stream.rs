//! The input as a stream, and what outlives it.

use assert_cmd::Command;

use super::gate;

#[test]
fn a_followed_file_may_be_rotated_and_truncated() {
    use std::io::{BufRead, Write};
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("events.json");
    let line = |name: &str| format!("{{\"rule\":\"r\",\"output_fields\":{{\"proc.name\":\"{name}\"}}}}\n");
    std::fs::write(&path, line("first")).expect("written");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(["gate", "--follow", "--input"])
        .arg(&path)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("kiln runs");
    let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("text");
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        value["process_name"].as_str().expect("a name").to_owned()
    };
    assert_eq!(next(), "first");
    let append = |path: &std::path::Path, text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("it is there");
        file.write_all(text.as_bytes()).expect("written");
    };
    append(&path, &line("second"));
    assert_eq!(next(), "second");
    // Rotated: written to under its new name until the very end, then a new file under the old one.
    let old = folder.path().join("events.json.1");
    std::fs::rename(&path, &old).expect("renamed");
    append(&old, &line("late"));
    std::fs::write(&path, line("fresh")).expect("written");
    assert_eq!([next(), next()], ["late", "fresh"]);
    // Truncated in place, as logrotate's copytruncate does.
    std::fs::write(&path, "").expect("truncated");
    std::thread::sleep(std::time::Duration::from_millis(500));
    append(&path, &line("last"));
    assert_eq!(next(), "last");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .expect("it lives");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn state_survives_a_restart_and_can_be_looked_at() {
    let folder = tempfile::tempdir().expect("a directory");
    let state = folder.path().join("state");
    let line = |time: &str| {
        format!(
            r#"{{"rule":"Fileless execution via memfd_create","priority":"Critical","tags":["T1620"],"output_fields":{{"evt.type":"execve","proc.name":"x","proc.pid":7,"proc.pid.ts":5}},"time":"{time}"}}"#
        )
    };
    let judge = |line: String| {
        let output = gate().arg("--state").arg(&state).write_stdin(line).output().expect("kiln runs");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    let first = judge(line("2026-11-20T10:00:00Z"));
    let second = judge(line("2026-11-20T10:00:00Z"));
    assert_eq!(first["antibody_load_now"], second["antibody_load_prev"]);
    let output = gate().args(["state", "--state"]).arg(&state).output().expect("kiln runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains(first["process_key"].as_str().expect("a key")));
    std::fs::write(&state, "no state").expect("written");
    gate().arg("--state").arg(&state).write_stdin("").assert().code(2);
}

#[test]
fn bad_lines_are_counted_reported_and_skipped() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let input =
        [b"\xff\xfe\n{}\n[1]\n{\"rule\":1\nnull\n".as_slice(), deep.as_bytes(), b"\n", &vec![b'x'; 40 << 20]].concat();
    let output = gate().write_stdin(input).output().expect("kiln runs");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    let summary: serde_json::Value = serde_json::from_str(errors.lines().last().expect("a summary")).expect("JSON");
    assert_eq!((&summary["events_seen"], &summary["errors"]), (&7.into(), &7.into()));
    assert!(errors.lines().all(|line| line.len() < 20_000), "no report holds more than the line's beginning");
}

#[test]
fn ocsf_is_the_gates_only() {
    Command::cargo_bin("kiln")
        .expect("kiln is built")
        .args(["--format", "ocsf", "completions", "bash"])
        .assert()
        .code(2);
}
