//! `kiln tighten`, and what the agent remembers of tightened policies. What it does in the kernel is the story `tightened`.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use kiln::agent::error::AgentError;
use kiln::agent::update::store::{Store, Verified};
use kiln::agent::update::trusted::Trusted;
use kiln::bundle::{SigningKey, Tightening, TrustedKeys};
use predicates::str::contains;
use tempfile::TempDir;

fn kiln() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kiln"))
}

/// A folder with keys, and tables that allow these paths.
fn folder(policies: &[(&str, &str, u64)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for role in ["policy", "tighten"] {
        kiln().arg("keygen").arg(dir.path()).args(["--name", role]).assert().success();
    }
    for (name, path, serial) in policies {
        let text = format!(
            "pdl 1;\nprofile web {{\n  subject unit \"web.service\";\n  governs read, write;\n  allow read \"{path}\";\n}}\n"
        );
        let (pdl, tables) = (dir.path().join(format!("{name}.pdl")), dir.path().join(format!("{name}.tables")));
        fs::write(&pdl, text).unwrap();
        let serial = serial.to_string();
        kiln().arg("compile").arg(&pdl).arg("-o").arg(&tables).args(["--serial", &serial]).assert().success();
    }
    dir
}

fn tighten(dir: &Path, name: &str) -> Command {
    let mut command = kiln();
    command.arg("tighten").arg(dir.join(format!("{name}.tables"))).arg("--base").arg(dir.join("base.tables"));
    command
}

fn signing(dir: &Path, name: &str, number: u64, expires: &str) -> Command {
    let mut command = tighten(dir, name);
    command.arg("--key").arg(dir.join("tighten.key")).args(["--number", &number.to_string(), "--expires", expires]);
    command
}

#[test]
fn what_is_a_subset_is_signed_and_what_is_wider_is_not() {
    let dir =
        folder(&[("base", "/srv/**", 3), ("less", "/srv/www/**", 3), ("more", "/s*/**", 3), ("next", "/srv/a", 4)]);
    let at = dir.path();
    tighten(at, "less").assert().success().stdout(contains("permits nothing that"));
    assert!(!at.join("less.dsse.json").exists(), "without a key nothing is signed");
    signing(at, "less", 1, "2030-01-02T00:00:00Z").assert().success().stdout(contains("until 2030-01-02T00:00:00Z"));
    assert!(at.join("less.dsse.json").exists());
    let wider = "not a subset: profile web may do what the build's policy refuses: read \"/s/a\"";
    signing(at, "more", 1, "2030-01-02T00:00:00Z").assert().code(1).stderr(contains(wider));
    assert!(!at.join("more.dsse.json").exists());
    tighten(at, "more").args(["--format", "json"]).assert().code(1).stdout(contains("\"subset\": false"));
    tighten(at, "next").assert().code(2).stderr(contains("compile it with --serial 3"));
    signing(at, "less", 0, "2030-01-02T00:00:00Z").assert().code(2).stderr(contains("number"));
    signing(at, "less", 1, "1969-01-02T00:00:00Z").assert().code(2).stderr(contains("1970"));
    tighten(at, "less").arg("--key").arg(at.join("tighten.key")).assert().code(2);
}

/// What `kiln tighten` signed, as the agent reads it.
fn verified(dir: &Path, name: &str, trusted: &Trusted) -> Result<Verified, AgentError> {
    let read = |ending: &str| fs::read(dir.join(format!("{name}.{ending}"))).unwrap();
    Verified::check(name, read("tables"), read("dsse.json"), trusted)
}

#[test]
fn each_key_has_one_role_and_each_number_comes_once() {
    let dir = folder(&[("base", "/srv/**", 3), ("less", "/srv/www/**", 3)]);
    let at = dir.path();
    let trusted = Trusted::new(TrustedKeys::read(at).unwrap(), b"host");
    kiln().arg("sign").arg(at.join("base.tables")).arg("--key").arg(at.join("policy.key")).assert().success();
    signing(at, "less", 2, "2030-01-02T00:00:00Z").assert().success();
    let (base, less) = (verified(at, "base", &trusted).unwrap(), verified(at, "less", &trusted).unwrap());
    assert!(base.tightening.is_none() && base.clone().of_build().is_ok());
    let signed = less.tightening.clone().unwrap();
    assert_eq!((signed.number, signed.serial, signed.base), (2, 3, base.digest));
    assert_eq!(less.clone().of_build().unwrap_err().exit_code(), 10, "it is not the build's");
    // An image without the role takes none, and no key signs for another role.
    let without = TrustedKeys::new(trusted.policy().to_vec(), Vec::new()).unwrap();
    let without = Trusted::new(without, b"host");
    assert_eq!(verified(at, "less", &without).unwrap_err().exit_code(), 10);
    for (name, key) in [("less", "policy.key"), ("base", "tighten.key")] {
        let key = SigningKey::read(&at.join(key)).unwrap();
        let envelope = match name {
            "less" => signed.sign(&key),
            _ => base.statement.sign(&key),
        };
        let file = fs::read(at.join(format!("{name}.tables"))).unwrap();
        let error = Verified::check(name, file, envelope.to_json().into_bytes(), &trusted).unwrap_err();
        assert_eq!(error.exit_code(), 10, "{name}");
    }

    let state = TempDir::new().unwrap();
    let store = Store::new(state.path());
    store.confirm(&base).unwrap();
    store.accept(&less).unwrap();
    let marks = store.marks().unwrap();
    for (serial, number, fine) in [(3, 1, false), (3, 2, false), (3, 3, true), (2, 9, false), (4, 1, true)] {
        let offered = Tightening { serial, number, ..signed.clone() };
        assert_eq!(Store::check_new_tightening(&marks, &offered).is_ok(), fine, "{serial} {number}");
    }
    assert!(store.tightened(&trusted).unwrap().is_none(), "accepted is not confirmed");
    store.keep_tightened(&less).unwrap();
    let kept = store.tightened(&trusted).unwrap().unwrap();
    assert!(kept.digest == less.digest && kept.seen > 1_700_000_000);
    store.see_tightened().unwrap();
    // Who confirms it again, with the clock set back meanwhile, makes it no longer.
    let mut less = less;
    for seen in [u64::from(u32::MAX), 0] {
        less.seen = seen;
        store.keep_tightened(&less).unwrap();
        assert_eq!(store.tightened(&trusted).unwrap().unwrap().seen, u64::from(u32::MAX));
    }
    // Another image does not trust what this one left, and damage is no policy.
    assert_eq!(store.tightened(&without).unwrap_err().exit_code(), 10);
    // What the build signed next ends it.
    store.confirm(&base).unwrap();
    assert!(store.tightened(&trusted).unwrap().is_none());
    let left = fs::read_dir(state.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("tightened"));
    assert_eq!(left.count(), 0);
    // The signature of a tightening where the build's is wanted.
    fs::copy(at.join("less.tables"), state.path().join(format!("good-{}.tables", less.digest.hex()))).unwrap();
    let good = serde_json::json!({
        "tables": less.digest, "sequence": 0, "signature": fs::read_to_string(at.join("less.dsse.json")).unwrap()
    });
    fs::write(state.path().join("good.json"), good.to_string()).unwrap();
    assert_eq!(store.last_good(&trusted).unwrap_err().exit_code(), 10);
}
