//! `kiln keygen`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use assert_cmd::Command;
use predicates::str::contains;

fn keygen() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.arg("keygen");
    command
}

#[test]
fn makes_a_pair_that_only_the_owner_reads_and_never_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    keygen().arg(&keys).assert().success().stdout(contains("policy.pub"));
    let secret = fs::read_to_string(keys.join("policy.key")).unwrap();
    assert!(secret.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(fs::metadata(keys.join("policy.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(keys.join("policy.pub")).unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
    keygen().arg(&keys).assert().code(2).stderr(contains("never overwritten"));
    assert_eq!(fs::read_to_string(keys.join("policy.key")).unwrap(), secret);
    keygen()
        .arg(&keys)
        .args(["--name", "policy-next", "--format", "json"])
        .assert()
        .success()
        .stdout(contains("key_id"));
}

#[test]
fn a_name_without_a_role_or_with_a_path_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["mine", "policy/../x", "../policy", "policy\n"] {
        keygen().arg(dir.path()).args(["--name", name]).assert().code(2).stderr(contains("policy"));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
