//! One boot of a kernel: the script that runs the chosen cases in it, and what it told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use kiln::bundle::SigningKey;
use kiln::event::Violation;

use crate::case::{Case, Kind};
use crate::matrix::Variant;
use crate::needs::Needs;
use crate::vm::Vm;
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

/// Cases that share a boot.
#[derive(Debug, Clone)]
pub struct Group {
    /// The kernel, of [`KERNELS`].
    pub kernel: &'static str,
    /// The conditions.
    pub variant: Variant,
    /// What the guest must be like.
    pub needs: Needs,
    /// Those that somebody asked for.
    pub cases: Vec<Case>,
}

impl Group {
    /// About how long it takes on a slow machine. It only says which boots begin first.
    pub fn seconds(&self) -> usize {
        20 + self.cases.len() * if self.variant.sandbox { 3 } else { 2 }
    }

    /// What its folder is called after.
    fn name(&self) -> String {
        let Group { kernel, variant, needs, .. } = self;
        let variant = if variant.name().is_empty() { String::new() } else { format!("-{}", variant.name()) };
        format!("kernel-{kernel}{variant}{}", needs.slug())
    }
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

/// Boots a kernel, runs the cases in it and reads what it told.
pub fn boot(group: &Group) -> Result<Boot, String> {
    let Group { kernel, variant, needs, cases } = group;
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(group.name());
    let programs = build::attacks(&work)?;
    let lib = work.join("lib");
    let key = policy::image(&lib)?;
    let waves = waves(cases);
    // Without a policy the attacks' baseline still tells whether the attacks are any good.
    let sealed = seal(&lib, &waves, kernel, *variant, &key);

    let mut vm = Vm::new(&work, 2400);
    let modules: Vec<String> = cases.iter().flat_map(|case| case.modules.clone()).collect();
    needs.apply(&mut vm, &modules, &work)?;
    // The module that attacks try to load and to remove; no case needs it.
    vm.option(&["--with-module", "ifb"]).image(&lib)?;
    for (from, to) in &programs.files {
        vm.file(from, to);
    }
    let said = vm.run(kernel, &script_of(cases, &waves, *variant))?;
    let mut boot = parse(&said, waves.len())?;
    if sealed.is_err() {
        boot.policy = sealed;
    }
    Ok(boot)
}

/// Cases in a policy of their own. A guard's cases are apart: where any profile may come under any guard, their
/// combinations are more than a policy may have subjects.
pub fn waves(cases: &[Case]) -> Vec<Vec<Case>> {
    let (guards, profiles): (Vec<Case>, Vec<Case>) = cases.iter().cloned().partition(|case| case.kind == Kind::Guard);
    profiles.chunks(60).chain(guards.chunks(1)).map(<[Case]>::to_vec).collect()
}

/// Compiles and signs the waves: the first is the image's policy, the others are updates.
fn seal(lib: &Path, waves: &[Vec<Case>], kernel: &str, variant: Variant, key: &SigningKey) -> Result<(), String> {
    for (place, wave) in waves.iter().enumerate() {
        let name = if place == 0 { "policy".to_owned() } else { format!("wave{place}") };
        let text = policy::text(wave, variant);
        let serial = place as u64 + 1;
        policy::write(&lib.join(format!("{name}.pdl")), text.as_bytes())?;
        policy::seal(lib, &name, &policy::compile(&name, &text, kernel, serial)?, key)?;
    }
    Ok(())
}

/// The guest's script.
fn script_of(cases: &[Case], waves: &[Vec<Case>], variant: Variant) -> String {
    let mut script = include_str!("guest.sh").to_owned();
    let word = if variant.sandbox { "attack_in_sandbox" } else { "attack" };
    for case in cases {
        let setup = if case.setup.trim().is_empty() { ":" } else { case.setup.trim() };
        let _ = writeln!(script, "setup_{}() {{\n{setup}\n}}", case.name);
    }
    script.push_str("\nwithin_sandbox \"$@\"\necho kt-phase base\n");
    for case in cases {
        for user in &case.users {
            let attack = case.baseline.as_ref().unwrap_or(&case.attack);
            let _ = writeln!(script, "{word} {} base {user} '' {attack}", case.name);
        }
    }
    for (place, wave) in waves.iter().enumerate() {
        let load = if place == 0 { "load_policy".to_owned() } else { format!("update_policy wave{place}") };
        let _ = writeln!(script, "\n{load}");
        for case in wave {
            for (phase, _, user) in case.confined() {
                let attack = phase
                    .strip_prefix("control")
                    .and_then(|place| place.parse::<usize>().ok())
                    .map_or(&case.attack, |place| &case.control[place]);
                let _ = writeln!(script, "{word} {} {phase} {user} {} {attack}", case.name, case.unit(&phase, &user));
            }
        }
    }
    script.push_str("\ntell_events\n");
    script
}

fn parse(said: &str, waves: usize) -> Result<Boot, String> {
    let mut loaded = 0;
    let mut boot =
        Boot { runs: BTreeMap::new(), events: Vec::new(), policy: Err("the agent did not load all of it".to_owned()) };
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
            Some("kt-loaded") => loaded += 1,
            Some("kt-event") => {
                let event = line.trim_start_matches("kt-event").trim();
                boot.events.push(serde_json::from_str(event).map_err(|error| format!("{error} in report {event}"))?);
            }
            _ => {}
        }
    }
    if loaded == waves {
        boot.policy = Ok(());
    }
    Ok(boot)
}
