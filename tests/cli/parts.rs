//! `scripts/test all`: its parts, and what it keeps of those that passed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use tempfile::TempDir;

fn script(repository: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(repository.join("scripts/test")).arg("all").env_remove("CARGO_TARGET_DIR");
    command
}

fn git(repository: &Path, arguments: &[&str]) {
    let who = ["-c", "user.name=Kiln", "-c", "user.email=kiln@example.org", "-c", "commit.gpgsign=false"];
    Command::new("git").arg("-C").arg(repository).args(who).args(arguments).assert().success();
}

/// A repository with the script and two examples: `good` passes, `bad` has a command that fails before one that does not.
fn repository() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    let write = |path: &str, text: &str| {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), text).unwrap();
        fs::set_permissions(at(path), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let test = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/test")).unwrap();
    write("scripts/test", &test);
    write("scripts/build-agent", "#!/bin/sh\necho agent\n");
    write("examples/good/run", "#!/bin/sh\necho good was run\n");
    write("examples/bad/run", "#!/bin/sh\nexit 3\n");
    write("fuzz/fuzz_targets/words.rs", "");
    write(".gitignore", "/target\n");
    git(dir.path(), &["init", "-q"]);
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "All"]);
    dir
}

#[test]
fn every_example_and_every_fuzz_target_is_a_part() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = script(root).arg("--list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let parts: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let is_part = |name: String| assert!(parts.contains(&name.as_str()), "{name} is not among {parts:?}");
    for target in fs::read_dir(root.join("fuzz/fuzz_targets")).unwrap() {
        let path = target.unwrap().path();
        is_part(format!("fuzz-{}", path.file_stem().unwrap().to_str().unwrap()));
    }
    for example in fs::read_dir(root.join("examples")).unwrap() {
        is_part(format!("example-{}", example.unwrap().file_name().to_str().unwrap()));
    }
}

#[test]
fn a_failed_part_fails_the_whole_and_the_others_still_run() {
    let dir = repository();
    script(dir.path())
        .args(["example-*"])
        .assert()
        .code(1)
        .stdout(contains("good was run").and(contains("FAILED: example-bad")));
    let passed = dir.path().join("target/passed");
    assert!(passed.join("example-good").exists() && !passed.join("example-bad").exists());
}

/// Bash takes `set -e` back where somebody asks for the status of what runs; then a part would end with its last command's.
#[test]
fn a_part_ends_at_its_first_command_that_fails() {
    let dir = repository();
    fs::write(dir.path().join("scripts/build-agent"), "#!/bin/sh\nexit 1\n").unwrap();
    script(dir.path())
        .arg("kernel-rest")
        .env("PATH", format!("{}:/usr/bin:/bin", cargo_that_passes(dir.path()).display()))
        .assert()
        .code(1)
        .stdout(contains("FAILED: kernel-rest"));
}

/// A folder with a `cargo` that always succeeds.
fn cargo_that_passes(dir: &Path) -> std::path::PathBuf {
    let bin = dir.join("target/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("cargo"), "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

#[test]
fn only_what_passed_at_this_very_commit_is_left_out_and_only_if_asked() {
    let dir = repository();
    let ran = || contains("good was run");
    let good = |options: &[&str]| script(dir.path()).arg("example-good").args(options).assert().success();
    good(&[]).stdout(ran());
    good(&[]).stdout(ran());
    good(&["--resume"]).stdout(contains("passed at this commit already").and(ran().not()));
    // Beside a change nothing counts as passed: neither what did before, nor what does now.
    fs::write(dir.path().join("new"), "").unwrap();
    good(&["--resume"]).stdout(ran().and(contains(", changed")));
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "New"]);
    good(&["--resume"]).stdout(ran());
    good(&["--resume"]).stdout(ran().not());
}

#[test]
fn an_unknown_part_is_wrong_usage() {
    let dir = repository();
    script(dir.path()).arg("example-none").assert().code(2).stderr(contains("no part example-none"));
}
