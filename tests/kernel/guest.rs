//! One boot of a kernel: the script that runs the chosen cases in it, and what it told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use kiln::event::Violation;

use crate::case::Case;
use crate::{build, policy};

/// The kernels, as image-fixtures/vm-run names them.
pub const KERNELS: [&str; 2] = ["6.1", "6.12"];

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The attack did what it tried.
    Worked,
    /// The kernel refused it.
    Refused,
    /// Something before it failed.
    Unattempted,
    /// A signal ended it.
    Killed,
}

/// One run of an attack.
#[derive(Debug, Clone)]
pub struct Run {
    /// How it ended.
    pub state: State,
    /// The errno's name, or the signal's number.
    pub token: String,
    /// Why it could not be attempted.
    pub text: String,
}

/// What a boot told.
#[derive(Debug)]
pub struct Boot {
    /// By case, phase and user.
    runs: BTreeMap<(String, String, String), Run>,
    /// The agent's reports.
    pub events: Vec<Violation>,
    /// Whether the policy compiled and the agent loaded it.
    pub policy: Result<(), String>,
}

impl Boot {
    /// The run of a case in a phase by a user.
    pub fn run(&self, case: &str, phase: &str, user: &str) -> Option<&Run> {
        self.runs.get(&(case.to_owned(), phase.to_owned(), user.to_owned()))
    }
}

/// Boots `kernel`, runs `cases` in it and reads what it told.
pub fn boot(kernel: &str, cases: &[Case]) -> Result<Boot, String> {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kernel-{kernel}"));
    let programs = build::attacks(&work)?;
    let source = work.join("policy.pdl");
    write(&source, &policy::text(cases))?;
    let tables = work.join("policy.tables");
    // Without a policy the attacks' baseline still tells whether the attacks are any good.
    let compiled = policy::compile(&source, &tables);
    if compiled.is_err() {
        write(&tables, "")?;
    }
    let script = work.join("script.sh");
    write(&script, &script_of(cases))?;

    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("image-fixtures/vm-run"));
    command.args(["--timeout", "900", "--console"]).arg(work.join("console.log"));
    let mut modules: Vec<&String> = cases.iter().flat_map(|case| &case.modules).collect();
    modules.sort();
    modules.dedup();
    for module in modules {
        command.arg("--module").arg(module);
    }
    // The module that attacks try to load.
    command.args(["--with-module", "dummy"]).arg(kernel).arg(&script).arg(&tables).arg(agent());
    for (from, to) in programs.files {
        command.arg(format!("{}:{to}", from.display()));
    }
    let output = command.output().map_err(|error| format!("vm-run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    write(&work.join("output.log"), &said)?;
    if !output.status.success() {
        return Err(format!(
            "the guest ended with {}; its words are in {}\n{}",
            output.status,
            work.join("output.log").display(),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let mut boot = parse(&said)?;
    if compiled.is_err() {
        boot.policy = compiled;
    }
    Ok(boot)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The agent under test: the static one named by KILN_AGENT, else the one that cargo built.
fn agent() -> PathBuf {
    env::var_os("KILN_AGENT").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_kiln-agent")), PathBuf::from)
}

/// The guest's script.
fn script_of(cases: &[Case]) -> String {
    let mut script = include_str!("guest.sh").to_owned();
    for case in cases {
        let setup = if case.setup.trim().is_empty() { ":" } else { case.setup.trim() };
        let _ = writeln!(script, "setup_{}() {{\n{setup}\n}}", case.name);
    }
    script.push_str("\necho kt-phase base\n");
    for case in cases {
        for user in &case.users {
            let attack = case.baseline.as_ref().unwrap_or(&case.attack);
            let _ = writeln!(script, "attack {} base {user} '' {attack}", case.name);
        }
    }
    script.push_str("\nload_policy\n");
    for case in cases {
        for (phase, _, user) in case.confined() {
            let attack = phase
                .strip_prefix("control")
                .and_then(|place| place.parse::<usize>().ok())
                .map_or(&case.attack, |place| &case.control[place]);
            let _ = writeln!(script, "attack {} {phase} {user} {} {attack}", case.name, case.unit(&phase, &user));
        }
    }
    script.push_str("\ntell_events\n");
    script
}

fn parse(said: &str) -> Result<Boot, String> {
    let mut boot =
        Boot { runs: BTreeMap::new(), events: Vec::new(), policy: Err("the agent did not load it".to_owned()) };
    for line in said.lines() {
        let mut words = line.splitn(7, ' ');
        match words.next() {
            Some("kt-result") => {
                let [Some(case), Some(phase), Some(user), Some(state), Some(token), Some(text)] =
                    [(); 6].map(|()| words.next())
                else {
                    return Err(format!("the guest said half a line: {line}"));
                };
                let state = match state {
                    "worked" => State::Worked,
                    "refused" => State::Refused,
                    "killed" => State::Killed,
                    "unattempted" => State::Unattempted,
                    other => return Err(format!("the guest said {other}: {line}")),
                };
                let run = Run { state, token: token.to_owned(), text: text.to_owned() };
                boot.runs.insert((case.to_owned(), phase.to_owned(), user.to_owned()), run);
            }
            Some("kt-loaded") => boot.policy = Ok(()),
            Some("kt-event") => {
                let event = line.trim_start_matches("kt-event").trim();
                boot.events.push(serde_json::from_str(event).map_err(|error| format!("{error} in report {event}"))?);
            }
            _ => {}
        }
    }
    Ok(boot)
}
