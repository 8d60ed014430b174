//! What all commands share: help, completions, exit codes.

use assert_cmd::Command;
use predicates::str::contains;

fn kiln() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kiln"))
}

#[test]
fn wrong_usage_ends_with_2() {
    kiln().arg("no-such-verb").assert().code(2).stderr(contains("no-such-verb"));
}

#[test]
fn completions_name_the_program() {
    kiln().args(["completions", "bash"]).assert().success().stdout(contains("_kiln"));
}
