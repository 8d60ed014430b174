//! Laws of the whole engine: no input panics it, and what its documentation promises holds for any input.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::graded::{Graded, Marks, Memory, Options, Shape, Weights};
use super::scbe::{self, Scbe};
use super::{Action, Arena, Profile};

fn graded(shape: Shape) -> Graded {
    let options = Options {
        host_default: "h".to_owned(),
        source: None,
        include_kernel_event: true,
        pretty: true,
        shape,
        enforcement: Some(super::PlanOptions {
            quarantine_dir: "/q".to_owned(),
            cooldown: 15.0,
            backends: vec!["systemd".to_owned()],
            apply: false,
        }),
    };
    Graded { options, weights: Weights::built_in().expect("the built-in weights are valid"), marks: Marks::default() }
}

fn scbe() -> Scbe {
    let plan =
        super::PlanOptions { quarantine_dir: "/q".to_owned(), cooldown: 0.0, backends: Vec::new(), apply: false };
    Scbe {
        options: scbe::Options {
            host_default: "h".to_owned(),
            include_kernel_event: true,
            pretty: false,
            enforcement: Some(plan),
        },
    }
}

const NOW: i64 = 1_795_172_400_000_000_000;

/// Judges a line and returns its action and its output.
fn judge<P: Profile>(profile: &P, memory: &mut P::Memory, line: &str, now: i64) -> Option<(Action, Vec<u8>)> {
    let (mut reader, mut arena, mut out) = (profile.reader(), Arena::default(), Vec::new());
    let mut item = profile.read(&mut reader, line, &mut arena).ok()?;
    profile.settle(&mut item, &arena, memory, now);
    profile.render(&item, &arena, &mut out);
    let _ = profile.request(&item, &arena);
    Some((profile.action(&item), out))
}

/// Compiled once: the weights' automata take their time.
static GATE: LazyLock<Graded> = LazyLock::new(|| graded(Shape::Gate));
static OCSF: LazyLock<Graded> = LazyLock::new(|| graded(Shape::Ocsf));

fn value(line: &str, memory: &mut Memory, now: i64) -> serde_json::Value {
    let (_, out) = judge(&*GATE, memory, line, now).expect("an event");
    serde_json::from_slice(&out).expect("the output is JSON")
}

/// JSON of any shape whose keys are often those that the gate looks for.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof![
        any::<String>(),
        "(execve|openat|init_module|kiln.violation.v1|Critical|/etc/shadow|rm -rf /var/log|curl a \\| sh|T1485|denied)",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(|f| serde_json::Number::from_f64(f).map_or(serde_json::Value::Null, Into::into)),
        text.prop_map(Into::into),
    ];
    let key = prop_oneof![
        "[a-z._]{0,8}",
        "(output_fields|rule|priority|tags|time|evt.type|proc.pid|proc.name|proc.cmdline|fd.name|schema|verdict|pid)",
        "(process_exec|process_kprobe|process|parent|args|binary|exec_id|pod|container|image|evt_type|target)",
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((key.clone(), inner), 0..8).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_panics(line in ".{0,200}") {
        judge(&scbe(), &mut Default::default(), &line, NOW);
        judge(&*GATE, &mut Memory::default(), &line, NOW);
    }

    #[test]
    fn no_json_panics_and_output_is_json(event in json()) {
        let line = event.to_string();
        for profile in [&*GATE, &*OCSF] {
            if let Some((_, out)) = judge(profile, &mut Memory::default(), &line, NOW) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
            }
        }
        if let Some((_, out)) = judge(&scbe(), &mut Default::default(), &line, NOW) {
            prop_assert!(out.is_ascii());
        }
    }

    #[test]
    fn accepts_what_serde_json_accepts(event in json()) {
        // For an object both profiles' reader and serde_json agree on what JSON is.
        let line = format!("{{\"rule\":{event}}}");
        prop_assert!(judge(&scbe(), &mut Default::default(), &line, NOW).is_some());
    }
}

#[test]
fn what_is_no_text_is_still_written_as_json() {
    let line = r#"{"rule":"\ud800","priority":"\udc00 /boot/ \u00df","tags":["\ud83d"],"output_fields":{"proc.name":"\ud800\ud800","proc.cmdline":"\udbff x","fd.name":"/a\udfff","user.name":"\ud800\udc00"}}"#;
    for profile in [&*GATE, &*OCSF] {
        let (_, out) = judge(profile, &mut Memory::default(), line, NOW).expect("an event");
        let v: serde_json::Value = serde_json::from_slice(&out).expect("the output is JSON for strict readers too");
        assert!(v.to_string().contains('\u{fffd}'));
    }
}

#[test]
fn a_key_is_cut_between_characters() {
    for length in 0..16 {
        let (container, name) = ("a".repeat(length) + "\u{2003}\u{2003}", "é".repeat(300) + &"a".repeat(length));
        let line = format!(r#"{{"rule":"r","output_fields":{{"proc.name":"{name}","container.id":"{container}"}}}}"#);
        let (_, out) = judge(&*GATE, &mut Memory::default(), &line, NOW).expect("an event");
        assert!(std::str::from_utf8(&out).is_ok(), "{length}");
        let line = format!(r#"{{"rule":"r","output_fields":{{"proc.pid":7,"container.id":"{container}"}}}}"#);
        let (_, out) = judge(&*GATE, &mut Memory::default(), &line, NOW).expect("an event");
        assert!(std::str::from_utf8(&out).is_ok(), "{length}");
    }
}

const SHADOW: &str = r#"{"rule":"Read sensitive file untrusted","priority":"Warning","tags":["T1555"],"output_fields":{"evt.type":"openat","fd.name":"/etc/shadow","proc.name":"x","proc.pid":7,"proc.pid.ts":TS},"time":"2026-11-20T11:00:00Z"}"#;

/// Rules and tags of different kinds: what a process has to show for its load to grow.
const KINDS: [(&str, &str); 8] = [
    ("Read sensitive file untrusted", "T1555"),
    ("Netcat Remote Code Execution in Container", "mitre_execution"),
    ("Execution from /dev/shm", "T1059.004"),
    ("Clear Log Activities", "T1070"),
    ("PTRACE attached to process", "T1055.008"),
    ("Linux Kernel Module Injection Detected", "T1014"),
    ("Remove Bulk Data from Disk", "T1485"),
    ("Detect release_agent File Container Escapes", "T1611"),
];

fn kinds(start: &str, time: &str) -> Vec<String> {
    let line = |(rule, tag): &(&str, &str)| {
        SHADOW
            .replace("Read sensitive file untrusted", rule)
            .replace("T1555", tag)
            .replace("TS", start)
            .replace("2026-11-20T11:00:00Z", time)
    };
    KINDS.iter().map(line).collect()
}

#[test]
fn the_same_evidence_again_is_not_more() {
    let mut memory = Memory::default();
    let line = SHADOW.replace("TS", "1");
    let first = value(&line, &mut memory, NOW);
    for second in 1..500i64 {
        let time = format!("2026-11-20T11:{:02}:{:02}Z", second / 60 % 60, second % 60);
        let again = value(&line.replace("2026-11-20T11:00:00Z", &time), &mut memory, NOW + second * 1_000_000_000);
        assert!(again["signal"].as_f64() <= first["signal"].as_f64(), "{again}");
        assert!(again["antibody_load_now"].as_f64() <= first["antibody_load_now"].as_f64(), "{again}");
        assert!(again["membrane_stress"].as_f64() <= first["membrane_stress"].as_f64(), "{again}");
        assert_eq!(again["kernel_action"], first["kernel_action"]);
    }
    // Another process of the same program, in the same place, neither.
    let other = value(&SHADOW.replace("TS", "2"), &mut memory, NOW);
    assert!(other["signal"].as_f64() <= first["signal"].as_f64(), "{other}");
    // Another target of weight is, and another kind of evidence more so.
    let load = |v: &serde_json::Value| v["antibody_load_now"].as_f64().expect("a number");
    let same = load(&value(&line, &mut memory, NOW));
    let target = load(&value(&line.replace("/etc/shadow", "/root/.ssh/id_rsa"), &mut memory, NOW));
    let kind = load(&value(&kinds("1", "2026-11-20T11:00:00Z")[3], &mut memory, NOW));
    assert!(same < target && target < kind, "{same} {target} {kind}");
    assert!(target - same < kind - target);
}

#[test]
fn what_an_operator_marks_benign_stays_so() {
    let marks = "[[benign]]\nbecause = \"audited\"\nrule = \"Read sensitive*\"\nprogram = \"x\"\n";
    let marked = Graded { marks: Marks::from_toml(marks).expect("marks"), ..graded(Shape::Gate) };
    let mut memory = Memory::default();
    for line in kinds("1", "2026-11-20T11:00:00Z") {
        judge(&marked, &mut memory, &line, NOW);
    }
    let (action, out) = judge(&marked, &mut memory, &SHADOW.replace("TS", "1"), NOW).expect("an event");
    assert_eq!(action, Action::Allow);
    let v: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(v["cell_state"], "HEALTHY");
    assert!(v["notes"].to_string().contains("marked benign: audited"), "{v}");
    // What is not marked of the same process still counts.
    assert_ne!(
        judge(&marked, &mut memory, &kinds("1", "2026-11-20T11:00:00Z")[4], NOW).expect("an event").0,
        Action::Allow
    );
}

#[test]
fn what_a_source_says_of_itself_is_no_event_and_no_error() {
    for line in [
        r#"{"rule":"Falco internal: syscall event drop","priority":"Critical","output":"x","output_fields":{"n_drops":"2"}}"#,
        r#"{"rate_limit_info":{"number_of_dropped_process_events":"2"},"node_name":"n"}"#,
        r#"{"process_throttle":{"type":"THROTTLE_START","cgroup":"c"},"node_name":"n"}"#,
        r#"{"process_of_tomorrow":{"what":1},"node_name":"n"}"#,
        r#"{"test":{"arg0":"1"},"node_name":"n"}"#,
    ] {
        let (mut reader, mut arena) = (GATE.reader(), Arena::default());
        let failed = GATE.read(&mut reader, line, &mut arena).expect_err(line);
        assert!(failed.notice, "{line}");
    }
    // A process that Falco names is a process, whatever the rule is called; a new kind of Tetragon's event too.
    for line in [
        r#"{"rule":"Falco internal: x","output_fields":{"proc.name":"x"}}"#,
        r#"{"process_of_tomorrow":{"process":{"exec_id":"a","pid":7,"binary":"/tmp/x"}},"node_name":"n"}"#,
    ] {
        let (mut reader, mut arena) = (GATE.reader(), Arena::default());
        assert!(GATE.read(&mut reader, line, &mut arena).is_ok(), "{line}");
    }
}

#[test]
fn load_decays_by_wall_clock_and_the_process_recovers() {
    let mut memory = Memory::default();
    let quiet = |time: &str| {
        format!(
            r#"{{"rule":"x","output_fields":{{"evt.type":"openat","fd.name":"/a","proc.name":"x","proc.pid":7,"proc.pid.ts":5}},"time":"{time}"}}"#
        )
    };
    for line in kinds("5", "2026-11-20T10:00:08Z") {
        value(&line, &mut memory, NOW);
    }
    let load = |v: &serde_json::Value| v["antibody_load_prev"].as_f64().expect("a number");
    let soon = value(&quiet("2026-11-20T10:00:10Z"), &mut memory, NOW);
    let later = value(&quiet("2026-11-20T10:10:08Z"), &mut memory, NOW);
    let much_later = value(&quiet("2026-11-20T11:10:08Z"), &mut memory, NOW);
    assert!(load(&soon) > 0.8, "{soon}");
    assert_ne!(soon["kernel_action"], "ALLOW", "an inflamed process meets friction whatever it does");
    assert!((load(&later) / load(&soon) - 0.5).abs() < 0.01, "ten minutes are a half-life");
    assert_eq!(much_later["cell_state"], "HEALTHY");
    assert_eq!(much_later["kernel_action"], "ALLOW");
}

#[test]
fn a_clock_that_runs_backwards_or_ahead_changes_no_load() {
    let mut memory = Memory::default();
    let first = value(&SHADOW.replace("TS", "1"), &mut memory, NOW);
    let again = value(&kinds("1", "2026-11-20T09:00:00Z")[3], &mut memory, NOW);
    assert!(again["antibody_load_now"].as_f64() > first["antibody_load_now"].as_f64());
    assert_eq!(memory.backwards, 1);
    // A producer that claims to live in the future cannot make its load fade: the present is the limit.
    let ahead = SHADOW.replace("TS", "1").replace("2026-11-20T11:00:00Z", "2040-01-01T00:00:00Z");
    let before = again["antibody_load_now"].as_f64().expect("a number");
    let prev = value(&ahead, &mut memory, 1_795_172_401_000_000_000)["antibody_load_prev"].as_f64().expect("a number");
    assert!(prev > before * 0.9, "{prev} of {before}");
}

#[test]
fn a_reused_pid_is_another_process_and_a_missing_one_is_told_by_lineage() {
    let mut memory = Memory::default();
    let a = value(&SHADOW.replace("TS", "1"), &mut memory, NOW);
    let b = value(&SHADOW.replace("TS", "2"), &mut memory, NOW);
    assert_ne!(a["process_key"], b["process_key"]);
    assert_eq!(b["antibody_load_prev"], 0.0);
    assert_eq!(b["identity"], "exact");
    let anonymous =
        |parent: &str| format!(r#"{{"rule":"r","output_fields":{{"proc.name":"sh","proc.pname":"{parent}"}}}}"#);
    let (c, d) = (value(&anonymous("sshd"), &mut memory, NOW), value(&anonymous("nginx"), &mut memory, NOW));
    assert_eq!(c["identity"], "lineage");
    assert_ne!(c["process_key"], d["process_key"]);
}

#[test]
fn the_cooldown_never_hides_an_escalation() {
    let mut memory = Memory::default();
    let mild = r#"{"rule":"System user interactive","priority":"Notice","tags":["mitre_execution"],"output_fields":{"evt.type":"execve","proc.name":"x","proc.pid":7,"proc.pid.ts":1},"time":"2026-11-20T11:00:00Z"}"#;
    let harsh = r#"{"rule":"Fileless execution via memfd_create","priority":"Critical","tags":["T1620"],"output_fields":{"evt.type":"execve","proc.name":"x","proc.pid":7,"proc.pid.ts":1},"time":"2026-11-20T11:00:01Z"}"#;
    let skipped = |v: &serde_json::Value| v["enforcement"]["cooldown_skipped"].as_bool();
    let first = value(mild, &mut memory, NOW);
    assert_eq!((first["kernel_action"].as_str(), skipped(&first)), (Some("THROTTLE"), Some(false)));
    assert_eq!(skipped(&value(mild, &mut memory, NOW)), Some(true));
    let worse = value(harsh, &mut memory, NOW);
    assert_eq!((worse["kernel_action"].as_str(), skipped(&worse)), (Some("QUARANTINE"), Some(false)));
}

#[test]
fn a_full_memory_forgets_the_least_dangerous_and_survives_saving() {
    let mut memory = Memory::with_capacity(1000);
    let worst = SHADOW.replace("TS", "999999999");
    for line in kinds("999999999", "2026-11-20T11:00:00Z") {
        value(&line, &mut memory, NOW);
    }
    let mild = r#"{"rule":"System user interactive","priority":"Notice","tags":["mitre_execution"],"output_fields":{"evt.type":"execve","proc.name":"x","proc.pid":8,"proc.pid.ts":TS},"time":"2026-11-20T11:00:01Z"}"#;
    for start in 0..3000 {
        value(&mild.replace("TS", &(start + 1).to_string()), &mut memory, NOW);
    }
    assert!(memory.len() <= 1000);
    assert!(memory.evicted >= 2000);
    let load = value(&worst, &mut memory, NOW)["antibody_load_prev"].as_f64().expect("a number");
    assert!(load > 0.8, "the dangerous one is still known: {load}");

    let mut bytes = Vec::new();
    memory.save(&mut bytes).expect("memory takes any bytes");
    let again = Memory::load_state(&bytes, 1000).expect("what was saved can be loaded");
    assert_eq!(again.len(), memory.len());
    assert_eq!(again.dangerous(1_795_172_400), memory.dangerous(1_795_172_400));
    for damaged in [&bytes[..bytes.len() - 1], &bytes[..40], b"x"] {
        assert!(Memory::load_state(damaged, 1000).is_err());
    }
    bytes[100] ^= 1;
    assert!(Memory::load_state(&bytes, 1000).is_err());
}
