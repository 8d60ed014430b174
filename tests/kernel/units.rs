//! Real units of a real systemd: one small service in a hundred sandboxes goes through start, reload, restart, crash and
//! stop, without policy and under three policies that follow each other.
//!
//! `units/boxes.rs` says which units, `units/service.c` and `units/probe.c` are the service, `units/units.sh` runs in the
//! guest, and `units/judge.rs` holds what the services found against what they found without any policy.
//! `KILN_UNITS="012 034"` runs these only.

mod boxes;
mod judge;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use libtest_mimic::{Arguments, Trial};

use crate::fleet::Fleet;
use crate::gate::{boot, bring, debian};
use crate::{build, chosen, policy};

/// A hundred units on a busy machine, emulated, are slow.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A Debian to be tried.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// Its name.
    name: &'static str,
    /// The kernel that its policies are compiled for.
    kernel: &'static str,
    /// Whether its systemd is 257 or newer.
    newer: bool,
}

const SUITES: [Suite; 2] =
    [Suite { name: "bookworm", kernel: "6.1", newer: false }, Suite { name: "trixie", kernel: "6.12", newer: true }];

/// The tests that are asked for.
pub fn trials(fleet: &Arc<Fleet>, arguments: &Arguments) -> Vec<Trial> {
    let mut trials = vec![Trial::test("units::itself", || Ok(judge::prove_itself()?))];
    for suite in SUITES {
        let name = format!("units::{}", suite.name);
        trials.push(Trial::test(format!("{name}::pairs"), move || Ok(boxes::prove(&suite)?)));
        // A boot takes a third of what CI has for everything.
        if chosen::is_asked_for(arguments, &name) && chosen::is_chosen(arguments, &name) {
            trials.push(chosen::alone(fleet, &name, 1, move || prove(&suite)));
        }
    }
    trials
}

fn prove(suite: &Suite) -> Result<(), String> {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("units-{}", suite.name));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/units");
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let (kernel, disk) = debian(&work, suite.name)?;
    let lib = work.join("lib");
    let key = policy::image(&lib)?;
    for (serial, (name, source)) in (1..).zip([("a", "a"), ("b", "b"), ("c", "a")]) {
        let path = folder.join(format!("policy.{source}.pdl"));
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        policy::seal(&lib, name, &policy::compile("units.pdl", &text, suite.kernel, serial)?, &key)?;
    }
    let (mut units, files) = boxes::units(suite);
    if let Ok(asked) = env::var("KILN_UNITS") {
        units.retain(|unit| asked.split(' ').any(|number| number == unit.number) || unit.instances);
    }
    policy::write(&work.join("units"), files.as_bytes())?;
    policy::write(&work.join("lists"), lists(&units).as_bytes())?;
    let (service, agent) = (service(&folder, &work)?, build::agent()?);
    let mut files: Vec<(PathBuf, String)> = vec![
        (folder.join("units.sh"), "proof.sh".into()),
        (service, "service".into()),
        (agent, "kiln-agent".into()),
        (lib.join("trust/policy.pub"), "policy.pub".into()),
    ];
    for name in ["units", "lists"] {
        files.push((work.join(name), name.into()));
    }
    for name in ["kiln-load.service", "kiln-agent.service"] {
        files.push((templates.join(name), name.into()));
    }
    for name in ["a", "b", "c"] {
        for kind in ["tables", "dsse.json"] {
            files.push((lib.join(format!("{name}.{kind}")), format!("{name}.{kind}")));
        }
    }
    let files: Vec<(&Path, &str)> = files.iter().map(|(from, to)| (from.as_path(), to.as_str())).collect();
    bring(&disk, &files, &work)?;
    let said = work.join("output.log");
    let words = "lsm=lockdown,capability,landlock,yama,apparmor,bpf quiet systemd.show_status=no";
    boot(&kernel, &disk, words, &said, &work.join("console.log"), PATIENCE)?;
    let text = fs::read(&said).map_err(|error| format!("{}: {error}", said.display()))?;
    judge::judge(&units, &String::from_utf8_lossy(&text)).map_err(|wrong| format!("see {}\n{wrong}", said.display()))
}

fn service(folder: &Path, work: &Path) -> Result<PathBuf, String> {
    let compiler = env::var("CC").unwrap_or_else(|_| "gcc".to_owned());
    let program = work.join("service");
    let parts = ["service.c", "probe.c", "peer.c"].map(|name| folder.join(name));
    build::run(
        Command::new(compiler).args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).args(parts),
    )?;
    Ok(program)
}

/// What the guest's script starts, stops and asks, for bash.
fn lists(units: &[boxes::Unit]) -> String {
    let own = || units.iter().filter(|unit| !unit.of_user);
    let lasting = || own().filter(|unit| !unit.instances);
    let mut text = String::new();
    let mut list = |name: &str, words: Vec<String>| {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let _ = writeln!(text, "{name}=({})", words.join(" "));
    };
    list("names", lasting().map(|unit| unit.name.clone()).collect());
    list("started", lasting().filter(|unit| unit.socket.is_none()).map(|unit| unit.name.clone()).collect());
    list("pokes", own().filter_map(|unit| unit.socket.clone()).collect());
    let socket = |unit: &boxes::Unit| unit.name.replace(".service", ".socket").replace('@', "");
    list("users", units.iter().filter(|unit| unit.of_user).map(|unit| unit.name.clone()).collect());
    list("sockets", own().filter(|unit| unit.socket.is_some()).map(socket).collect());
    text
}
