//! How the demo and the examples speak to their virtual machines (`scripts/demo-vm.sh`), with a pipe in a machine's place.

use assert_cmd::Command;

/// On a busy host a machine once said half of its line before the reader's time was over, and half after: it was never
/// heard.
#[test]
fn a_line_that_comes_in_two_halves_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
        work=$1 repository=$2
        die() { exit 1; }
        . "$repository/scripts/demo-vm.sh"
        mkdir "$work/vm-$vm" && mkfifo "$work/pipe" && exec {pipe}<>"$work/pipe"
        vm_out[$vm]=$pipe vm_pid[$vm]=$$
        { printf 'noise\r\n@rea' && sleep 6 && printf 'dy\r\n'; } >"$work/pipe" &
        vm_ready
    "#;
    let mut command = Command::new("bash");
    command.args(["-c", script, "test"]).arg(dir.path()).arg(env!("CARGO_MANIFEST_DIR"));
    command.timeout(std::time::Duration::from_secs(60)).assert().success();
}
