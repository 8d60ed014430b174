//! `kiln-agent` without a kernel that it may change: what it verifies, chooses, remembers and refuses. What it does in the
//! kernel is in tests/kernel.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use kiln::agent::error::AgentError;
use kiln::agent::update::choice::choose;
use kiln::agent::update::store::{Marks, Store, Verified};
use kiln::agent::update::trusted::Trusted;
use kiln::bundle::{Assignment, PolicyStatement, SigningKey, TrustedKeys};
use kiln::model::Digest;
use tempfile::TempDir;

fn agent() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kiln-agent"))
}

/// Keys of one build and its POS.
struct Build {
    policy: SigningKey,
    pos: SigningKey,
    trusted: Trusted,
}

impl Build {
    fn new() -> Build {
        let (policy, pos) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let trusted = TrustedKeys::new(vec![policy.public()], vec![pos.public()]).unwrap();
        Build { policy, pos, trusted: Trusted::new(trusted, b"web-1") }
    }

    /// A compiled policy that allows `path`, and the statement about it.
    fn tables(&self, path: &str, serial: u64) -> (Vec<u8>, PolicyStatement) {
        use kiln::compile::{Options, compile};
        use kiln::pdl::{NoFiles, Source};
        let text = format!(
            "pdl 1;\nprofile web {{\n  subject unit \"web.service\";\n  governs read;\n  allow read \"{path}\";\n}}\n"
        );
        let policy = kiln::policy::load(&[Source::new("web.pdl", &text)], &NoFiles).unwrap();
        let digest = kiln::policy::digest(&policy);
        let tables = compile(&policy, &Options { policy: digest, serial, kernel: "6.1".parse().unwrap() }).unwrap();
        let file = tables.to_bytes().unwrap();
        let statement = PolicyStatement { policy: digest, tables: Digest::of(&file), serial, name: "web".into() };
        (file, statement)
    }

    fn signed(&self, path: &str, serial: u64) -> (Vec<u8>, Vec<u8>) {
        let (file, statement) = self.tables(path, serial);
        let envelope = statement.sign(&self.policy).to_json().into_bytes();
        (file, envelope)
    }

    fn verified(&self, serial: u64) -> Verified {
        let (file, envelope) = self.signed("/srv/**", serial);
        Verified::check("test", file, envelope, &self.trusted).unwrap()
    }
}

#[test]
fn only_what_the_build_signed_verifies() {
    let build = Build::new();
    let (file, envelope) = build.signed("/srv/**", 1);
    let check = |file: &[u8], envelope: &[u8]| Verified::check("t", file.to_vec(), envelope.to_vec(), &build.trusted);
    check(&file, &envelope).unwrap();

    let by_pos = build.tables("/srv/**", 1).1.sign(&build.pos).to_json().into_bytes();
    assert_eq!(check(&file, &by_pos).unwrap_err().exit_code(), 10, "the POS may not sign policies");
    let other = build.signed("/etc/**", 1).0;
    assert_eq!(check(&other, &envelope).unwrap_err().exit_code(), 10, "tables of another policy");
    for cut in [0, 1, 8, 24, 100, file.len() / 2, file.len() - 1] {
        assert_eq!(check(&file[..cut], &envelope).unwrap_err().exit_code(), 10, "cut at {cut}");
    }
    // Signed, and damaged all the same: the reader has the last word.
    for at in [0, 8, 12, 16, 20, 40, file.len() - 40] {
        let mut damaged = file.clone();
        damaged[at] ^= 0x41;
        let statement = PolicyStatement { tables: Digest::of(&damaged), ..build.tables("/srv/**", 1).1 };
        let signed = statement.sign(&build.policy).to_json().into_bytes();
        assert_eq!(check(&damaged, &signed).unwrap_err().exit_code(), 2, "byte {at}");
    }
    // The serial of the statement is that of the tables.
    let lifted =
        PolicyStatement { serial: 9, ..build.tables("/srv/**", 1).1 }.sign(&build.policy).to_json().into_bytes();
    let error = check(&file, &lifted).unwrap_err();
    assert!(error.to_string().contains("serial 1 and their statement 9"), "{error}");
    for junk in [&b""[..], b"{}", b"\xff\xff", &[b'['; 100_000], &vec![b' '; 2 << 20]] {
        assert_eq!(check(&file, junk).unwrap_err().exit_code(), 10);
    }
}

#[test]
fn an_assignment_is_for_this_machine_and_this_policy() {
    let build = Build::new();
    let policy = build.verified(3);
    let order = |instance: &str, serial: u64, key: &SigningKey| {
        let tables = policy.digest;
        Assignment { instance: instance.into(), serial, tables, sequence: 5 }.sign(key)
    };
    let take = |envelope| policy.clone().assigned(&envelope, "i-1", &build.trusted);
    assert_eq!(take(order("i-1", 3, &build.pos)).unwrap().sequence, 5);
    for bad in [order("i-2", 3, &build.pos), order("i-1", 4, &build.pos), order("i-1", 3, &build.policy)] {
        assert_eq!(take(bad).unwrap_err().exit_code(), 10);
    }
}

#[test]
fn the_store_keeps_the_last_good_policy_and_the_highest_numbers() {
    let build = Build::new();
    let dir = TempDir::new().unwrap();
    let store = Store::new(dir.path());
    assert!(store.last_good(&build.trusted).unwrap().is_none());
    let (two, three) = (build.verified(2), Verified { sequence: 7, ..build.verified(3) });
    store.confirm(&two).unwrap();
    store.accept(&three).unwrap();
    // Accepted and never confirmed: not loaded at boot, and never accepted again.
    assert_eq!(store.last_good(&build.trusted).unwrap().unwrap().statement.serial, 2);
    let marks = store.marks().unwrap();
    assert_eq!(marks, Marks { serial: 3, sequence: 7, confirmed: 2, ..Marks::default() });
    for (serial, sequence) in [(1, 0), (2, 0), (3, 0), (3, 8), (4, 7), (4, 1)] {
        let offered = Verified { sequence, ..build.verified(serial) };
        let error = Store::check_new(&marks, &offered).unwrap_err();
        assert!(matches!(error, AgentError::Replay { .. }), "{serial} {sequence}: {error}");
        assert_eq!(error.exit_code(), 11);
    }
    Store::check_new(&marks, &Verified { sequence: 8, ..build.verified(4) }).unwrap();
    Store::check_new(&marks, &build.verified(4)).unwrap();

    store.confirm(&three).unwrap();
    let good = store.last_good(&build.trusted).unwrap().unwrap();
    assert_eq!((good.statement.serial, good.sequence, good.digest), (3, 7, three.digest));
    let tables = fs::read_dir(dir.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "tables"));
    assert_eq!(tables.count(), 1, "the tables before are removed");

    // A new image with other keys does not trust what the old one left.
    assert_eq!(store.last_good(&Build::new().trusted).unwrap_err().exit_code(), 10);
    // Damage is an error, never "nothing there".
    fs::write(dir.path().join("good.json"), "{").unwrap();
    assert_eq!(store.last_good(&build.trusted).unwrap_err().exit_code(), 2);
    fs::write(store.marks_path(), "{\"serial\":1}").unwrap();
    assert!(store.marks().unwrap_err().to_string().contains("marks.json"));
}

#[test]
fn the_newest_valid_policy_is_chosen() {
    let build = Build::new();
    let bad = || AgentError::NotLoaded;
    let marks = |confirmed| Marks { confirmed, ..Marks::default() };
    let serial = |baked, good, confirmed| {
        choose(baked, good, &marks(confirmed)).map(|c| (c.policy.statement.serial, c.problems.len()))
    };
    let v = |n| build.verified(n);
    assert_eq!(serial(Ok(v(1)), Ok(None), 0).unwrap(), (1, 0));
    assert_eq!(serial(Ok(v(1)), Ok(Some(v(3))), 3).unwrap(), (3, 0));
    assert_eq!(serial(Ok(v(5)), Ok(Some(v(3))), 3).unwrap(), (5, 0), "a newer image wins");
    assert_eq!(serial(Ok(v(1)), Err(bad()), 0).unwrap(), (1, 1), "a damaged store is reported");
    assert_eq!(serial(Err(bad()), Ok(Some(v(3))), 3).unwrap(), (3, 1), "a damaged image is reported");
    assert!(serial(Err(bad()), Ok(None), 0).is_err());
    let choice = choose(Ok(v(1)), Ok(None), &marks(3)).unwrap();
    assert!(matches!(choice.problems[..], [AgentError::Downgrade { newest: 1, floor: 3, .. }]));
    assert_eq!(choice.problems[0].exit_code(), 11);
}

#[test]
fn usage_and_exit_codes() {
    agent().arg("--help").assert().success().stdout(predicates::str::contains("Exit codes"));
    agent().arg("--version").assert().success().stdout(predicates::str::starts_with("kiln-agent "));
    for wrong in [&[][..], &["fly"], &["load", "--unsigned"], &["update", "--tables", "x"]] {
        let output = agent().args(wrong).assert().code(2).get_output().clone();
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

/// An event of an object that a verb was refused for.
fn refused(verb: &str, object: &str) -> String {
    serde_json::json!({"schema": "kiln.violation.v1", "time": "2026-01-05T09:00:00.000000001Z", "seq": 9, "verdict": "denied",
        "profile": "web", "block_kind": "profile", "rule": "no rule of profile web permits it", "verb": verb,
        "object": object, "mode": "enforce", "severity": "medium", "action": "alert", "pid": 812, "tid": 812, "ppid": 1,
        "uid": 33, "comm": "web", "start_time_ns": 1, "cgroup_id": 2, "generation": 3, "subject": "web|",
        "unit": "web.service"})
    .to_string()
}

/// What `explain` says would permit a request is a rule of PDL, and permits it.
#[test]
fn what_explain_says_permits_it_does() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("web.pdl");
    for (verb, object) in [
        ("read", "/etc/shadow"),
        ("exec", "/srv/a b/[x]*"),
        ("modify", "/srv/\"quoted\""),
        ("connect", "tcp:10.0.0.1:443"),
        ("connect", "udp:[2001:db8::1]:53"),
        ("accept", "tcp:192.0.2.7:80"),
        ("bind", "udp:[::1]:53"),
        ("connect", "unix:/run/x.sock"),
        ("connect", "unix:@abstract"),
        ("capability", "net_admin"),
        ("kernel", "bpf"),
    ] {
        let said = agent().args(["explain", &refused(verb, object), "--format", "json"]).assert().success();
        let said: serde_json::Value = serde_json::from_slice(&said.get_output().stdout).unwrap();
        assert_eq!(said["schema"], "kiln.explain.v1");
        let rule = said["permit"]["rule"].as_str().unwrap();
        let eval = |rules: &str| {
            let policy = format!("pdl 1;\nprofile web {{ subject unit \"web.service\"; {rules} }}\n");
            fs::write(&path, policy).unwrap();
            let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
            kiln.arg("eval").arg(&path).args(["--subject", "unit=web.service", "--verb", verb, "--object", object]);
            kiln.assert()
        };
        eval("").code(1);
        eval(rule).code(0);
    }
}

#[test]
fn explain_takes_a_line_of_the_journal_and_refuses_what_is_no_event() {
    let line = format!("Jan 05 09:00:00 host kiln-agent[7]: {}\n", refused("read", "/etc/shadow"));
    agent()
        .args(["explain", "-"])
        .write_stdin(line)
        .assert()
        .success()
        .stdout(predicates::str::contains("process 812 (web) of web.service, user 33, subject web|: read /etc/shadow"));
    for no_event in ["{}", "nothing", "[]"] {
        agent().args(["explain", no_event]).assert().code(1);
    }
}

#[test]
fn completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let said = agent().args(["completions", shell]).assert().success();
        assert!(String::from_utf8_lossy(&said.get_output().stdout).contains("explain"), "{shell}");
    }
    agent().args(["completions", "tcsh"]).assert().code(2);
    // bash reads it.
    let script = agent().args(["completions", "bash"]).output().unwrap().stdout;
    Command::new("bash").args(["-n"]).write_stdin(script).assert().success();
}

#[test]
fn the_committed_object_is_what_the_source_compiles_to() {
    assert_eq!(
        kiln::agent::bpf::object::ORIGIN,
        "compiled",
        "clang and llvm-strip are needed to compare (scripts/setup --test installs them)"
    );
    let committed = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf/prebuilt/kiln.bpf.o")).unwrap();
    let same = committed == kiln::agent::bpf::object::bytes();
    assert!(same, "bpf/ has changed since the object was committed: run scripts/build-bpf");
}

#[test]
fn the_object_tells_nothing_of_where_it_was_built() {
    let bytes = kiln::agent::bpf::object::bytes();
    let target: PathBuf = env!("CARGO_BIN_EXE_kiln-agent").into();
    for place in [Path::new(env!("CARGO_MANIFEST_DIR")), target.parent().unwrap()] {
        let place = place.as_os_str().as_encoded_bytes();
        assert!(!bytes.windows(place.len()).any(|w| w == place));
    }
}
