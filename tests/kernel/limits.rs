//! Limits under a real systemd: services that want more than the policy gives them, through load, reload, restart, update and
//! the end of enforcement, and at the next boot. `limits/limits.sh` runs in the guest and makes the claims.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use crate::fleet::Fleet;
use crate::gate::{boot, bring, debian};
use crate::{build, chosen, policy};

const PATIENCE: Duration = Duration::from_secs(1800);

/// Claims that the script makes; one that is missing is a failure, too.
const CLAIMS: usize = 71;

/// A Debian, and the kernel that its policies are compiled for.
const SUITES: [(&str, &str); 2] = [("bookworm", "6.1"), ("trixie", "6.12")];

/// The tests that are asked for.
pub fn trials(fleet: &Arc<Fleet>, arguments: &Arguments) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (suite, kernel) in SUITES {
        let name = format!("limits::{suite}");
        // CI has time for one of them.
        if (suite == "bookworm" || chosen::is_asked_for(arguments, &name)) && chosen::is_chosen(arguments, &name) {
            trials.push(chosen::alone(fleet, &name, 1, move || prove(suite, kernel)));
        }
    }
    trials
}

fn prove(suite: &str, kernel: &str) -> Result<(), String> {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("limits-{suite}"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/kernel/limits");
    let (image, disk) = debian(&work, suite)?;
    let lib = work.join("lib");
    let key = policy::image(&lib)?;
    for (serial, name) in (1..).zip(["a", "b"]) {
        let path = folder.join(format!("policy.{name}.pdl"));
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        policy::seal(&lib, name, &policy::compile("limits.pdl", &text, kernel, serial)?, &key)?;
    }
    let mut files: Vec<(PathBuf, String)> = vec![
        (folder.join("limits.sh"), "proof.sh".into()),
        (build::agent()?, "kiln-agent".into()),
        (lib.join("trust/policy.pub"), "policy.pub".into()),
    ];
    for name in ["kiln-load.service", "kiln-agent.service"] {
        files.push((root.join("templates").join(name), name.into()));
    }
    for name in ["a.tables", "a.dsse.json", "b.tables", "b.dsse.json"] {
        files.push((lib.join(name), name.into()));
    }
    let files: Vec<(&Path, &str)> = files.iter().map(|(from, to)| (from.as_path(), to.as_str())).collect();
    bring(&disk, &files, &work)?;
    let words = "lsm=lockdown,capability,landlock,yama,apparmor,bpf quiet systemd.show_status=no";
    let mut text = String::new();
    for (number, log) in ["output.log", "again.log"].into_iter().enumerate() {
        let said = work.join(log);
        boot(&image, &disk, words, &said, &work.join(format!("console-{number}.log")), PATIENCE)?;
        let told = fs::read(&said).map_err(|error| format!("{}: {error}", said.display()))?;
        text += &String::from_utf8_lossy(&told);
    }
    let lines = || text.lines().map(str::trim);
    let held = lines().filter(|line| line.starts_with("ok ")).count();
    let ends = lines().filter(|line| *line == "limits-end").count();
    if held == CLAIMS && ends == 2 && !lines().any(|line| line.starts_with("not ok")) {
        return Ok(());
    }
    let rest: Vec<&str> = lines().filter(|line| !line.starts_with("ok ") && !line.starts_with('#')).collect();
    Err(format!("{held} of {CLAIMS} claims hold; see {}\n{}", work.display(), rest.join("\n")))
}
