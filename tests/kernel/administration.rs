//! Ordinary administration of a Debian whose services are confined: nothing of it is refused, and nothing is reported.
//! nginx has the profile that `kiln derive` writes, the services of systemd and the bus a guard each.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use crate::fleet::Fleet;
use crate::gate::debian;
use crate::record::ordinary_work;
use crate::{build, chosen, policy};

/// A Debian, and the kernel that its policy is compiled for.
const SUITES: [(&str, &str); 2] = [("bookworm", "6.1"), ("trixie", "6.12")];

/// Pieces of work, of `record/record.sh` and `record/more.sh`.
const WORK: usize = 67;

/// The tests that are asked for by name.
pub fn trials(fleet: &Arc<Fleet>, arguments: &Arguments) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (suite, kernel) in SUITES {
        let name = format!("administration::{suite}");
        if chosen::is_asked_for(arguments, &name) && chosen::is_chosen(arguments, &name) {
            trials.push(chosen::alone(fleet, &name, 1, move || prove(suite, kernel)));
        }
    }
    trials
}

fn prove(suite: &str, kernel: &str) -> Result<(), String> {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("administration-{suite}"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/record");
    let (image, disk) = debian(&work, suite)?;
    let root = image.parent().and_then(Path::parent).ok_or("the kernel lies in no root file system")?;
    let derived = work.join("nginx.pdl");
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    build::run(kiln.arg("derive").arg(root).args(["--unit", "nginx.service", "-o"]).arg(&derived))?;
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let text = read(&derived)? + &read(&folder.join("guards.pdl"))?;
    let compiled = policy::compile("administration.pdl", &text, kernel, 1)?;
    let told = ordinary_work(&work, &image, &disk, &compiled, &[(&folder.join("more.sh"), "more.sh")])?;
    let done = told.lines().filter(|line| line.starts_with("did ")).count();
    let reported: Vec<&str> = told.lines().filter(|line| line.starts_with("wrongly ")).collect();
    // That what is asked for from inside of nginx's unit is refused and told of: the policy was there all the time.
    let bound = told.lines().any(|line| line.trim() == "bound")
        && told.lines().any(|line| line.starts_with("event ") && line.contains("\"nginx\""));
    if done != WORK || !reported.is_empty() || !bound {
        let reported = reported.join("\n");
        return Err(format!("{done} of {WORK} were done, nginx bound: {bound}; see {}\n{reported}", work.display()));
    }
    Ok(())
}
