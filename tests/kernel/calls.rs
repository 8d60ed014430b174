//! Filters of system calls, given to units by a real systemd: the drop-ins that `kiln bake` writes, on both Debians.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use libtest_mimic::{Arguments, Trial};

use crate::fleet::Fleet;
use crate::gate::{TIMEOUT, boot, bring, debian};
use crate::{build, chosen, policy};

/// What the script prints; one that is missing is a failure too.
const RESULTS: usize = 9;

/// Units, and what each says itself.
const UNITS: [(&str, &str); 6] = [
    ("free.service", ""),
    ("plain.service", ""),
    ("narrow.service", "SystemCallFilter=@system-service\nSystemCallFilter=~@resources\n"),
    ("refusing@.service", "SystemCallFilter=~mount\n"),
    ("open.service", ""),
    ("audit.service", ""),
];

/// With their numbers on x86-64; `later` is one that no list knows.
const CALLS: &str = "getuid:102 bind:49 mount:165 keyctl:250 bpf:321 swapon:167 ptrace:101 uname:63 entry:i20 x32:x39 \
                     later:460";

/// The tests that are asked for.
pub fn trials(fleet: &Arc<Fleet>, arguments: &Arguments) -> Vec<Trial> {
    let mut trials = Vec::new();
    for suite in ["bookworm", "trixie"] {
        let name = format!("calls::{suite}");
        // CI has time for one of them.
        if (suite == "bookworm" || chosen::is_asked_for(arguments, &name)) && chosen::is_chosen(arguments, &name) {
            trials.push(chosen::alone(fleet, &name, 1, move || prove(suite)));
        }
    }
    trials
}

fn prove(suite: &str) -> Result<(), String> {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("calls-{suite}"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/calls");
    let (kernel, disk) = debian(&work, suite)?;
    let program = work.join("calls");
    let compiler = env::var("CC").unwrap_or_else(|_| "gcc".to_owned());
    build::run(
        Command::new(compiler)
            .args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&program)
            .arg(folder.join("calls.c")),
    )?;
    policy::write(&work.join("units"), units(&work, &folder)?.as_bytes())?;
    let files = [(&*folder.join("calls.sh"), "proof.sh"), (&*program, "calls"), (&*work.join("units"), "units")];
    bring(&disk, &files, &work)?;
    let said = work.join("output.log");
    boot(&kernel, &disk, "systemd.show_status=no", &said, &work.join("console.log"), TIMEOUT)?;
    let text = fs::read(&said).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|e| e.to_string())?;
    let passed = text.lines().filter(|line| line.trim_start().starts_with("ok ")).count();
    if passed != RESULTS || !text.contains("calls-end") {
        return Err(format!("{passed} of {RESULTS} passed; see {}\n{text}", said.display()));
    }
    Ok(())
}

/// Bakes a root file system of the units, and gives them with their drop-ins, but for what ties them to the policy.
fn units(work: &Path, folder: &Path) -> Result<String, String> {
    let root = work.join("root");
    drop(fs::remove_dir_all(&root));
    drop(fs::remove_dir_all(work.join("keys")));
    let system = root.join("usr/lib/systemd/system");
    fs::create_dir_all(&system).map_err(|error| error.to_string())?;
    let mut out = String::new();
    for (name, own) in UNITS {
        let text = format!(
            "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/usr/bin/calls {CALLS}\n\
             StandardOutput=file:/run/out.%n\n{own}"
        );
        policy::write(&system.join(name), text.as_bytes())?;
        let _ = writeln!(out, "=== {name}\n{text}");
    }
    let kiln = |args: &[&str]| build::run(Command::new(env!("CARGO_BIN_EXE_kiln")).current_dir(work).args(args));
    kiln(&["keygen", "keys"])?;
    let rules = folder.join("calls.pdl").display().to_string();
    // The agent is not asked: any static program stands for it.
    kiln(&["bake", "root", "--agent", "calls", "--key", "keys/policy.key", "--no-kernel-check", "--policy", &rules])?;
    for (name, _) in UNITS.into_iter().skip(1) {
        let path = system.join(format!("{name}.d/50-kiln.conf"));
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let service = text.split("[Service]").nth(1).ok_or_else(|| format!("no filter in {}", path.display()))?;
        let _ = writeln!(out, "=== {name}.d/50-kiln.conf\n[Service]{service}");
    }
    Ok(out)
}
