//! Random processes on a real kernel against a small model of labels.
//!
//! In the guest `kt model` lets processes fork, execute, enter cgroups, change namespaces and be moved from outside, while
//! the policy is updated, and tells after each step which probe files a process may not read. Here the same steps are
//! played by the model below; what a process may differs from the model's word nowhere, and while a process moves no look
//! of another of its threads sees less than before.
//!
//! `KILN_MODEL_STEPS` and `KILN_MODEL_SEED` make a run longer, or another.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::path::Path;

use libtest_mimic::Trial;

use crate::vm::Vm;
use crate::{build, policy};

/// Profile a and b by unit, c by program; guards g and h by unit, e by program. b's unit has guard g, too.
const POLICY: &str = r#"pdl 1;
profile a { subject unit "a.service"; governs read; allow read "/", "/**"; deny read "/probe/a"; }
profile b { subject unit "b.service"; governs read; allow read "/", "/**"; deny read "/probe/b"; }
profile c { subject exec "/kt/c"; governs read; allow read "/", "/**"; deny read "/probe/c"; }
guard g { subject unit "g.service"; subject unit "b.service"; deny read "/probe/g"; }
guard h { subject unit "h*.service"; deny read "/probe/h"; }
guard e { subject exec "/kt/e"; deny read "/probe/e"; }
"#;

const A: u32 = 1;
const B: u32 = 2;
const C: u32 = 4;
const G: u32 = 8;
const H: u32 = 16;
const E: u32 = 32;
const PROFILES: u32 = A | B | C;

/// What binds a process: blocks by bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Label(u32);

impl Label {
    /// A profile comes if there is none yet; guards always, and none of either ever leaves.
    fn with(self, blocks: u32) -> Label {
        let profile = if self.0 & PROFILES == 0 { blocks & PROFILES } else { 0 };
        Label(self.0 | profile | blocks & !PROFILES)
    }

    /// After entering a unit's cgroup, or one below it.
    fn entering(self, group: &str) -> Label {
        self.with(match group.split('/').next() {
            Some("a") => A,
            Some("b") => B | G,
            Some("g") => G,
            Some("h1") => H,
            _ => 0,
        })
    }

    fn executing(self, program: &str) -> Label {
        self.with(match program {
            "/kt/c" => C,
            "/kt/e" => E,
            _ => 0,
        })
    }
}

/// One line of the guest.
#[derive(Debug)]
struct Step<'a> {
    verb: &'a str,
    worker: u32,
    argument: &'a str,
    result: i64,
    /// What was refused after it; none where nobody looked.
    seen: Option<(u32, u32, u32)>,
}

fn parse(line: &str) -> Option<Step<'_>> {
    let words: Vec<&str> = line.strip_prefix("model ")?.split(' ').collect();
    let (verb, worker, argument) = (*words.get(1)?, words.get(2)?.parse().ok()?, *words.get(3)?);
    let value = |name: &str| words.iter().position(|w| *w == name).and_then(|at| words.get(at + 1)).copied();
    let bits = |name: &str| value(name).and_then(|v| u32::from_str_radix(v, 16).ok());
    let result = value("=").and_then(|v| v.parse().ok()).unwrap_or(0);
    let seen = bits("refused").map(|r| (r, bits("ever").unwrap_or(0), bits("always").unwrap_or(0)));
    Some(Step { verb, worker, argument, result, seen })
}

/// Plays the guest's lines; returns how many looks agreed, or every one that did not.
fn play(said: &str) -> Result<usize, String> {
    let mut labels: BTreeMap<u32, Label> = BTreeMap::new();
    let (mut looks, mut wrong) = (0, String::new());
    for line in said.lines() {
        let Some(step) = parse(line) else { continue };
        let before = labels.get(&step.worker).copied().unwrap_or_default();
        if step.result < 0 {
            let _ = writeln!(wrong, "it failed: {line}");
        }
        let after = match step.verb {
            "spawn" => Label::default(),
            "exec" => before.executing(step.argument),
            "move" | "watched" | "pull" => before.entering(step.argument),
            "fork" | "clone" => {
                let (group, child) = step.argument.split_once('>').unwrap_or(("-", "0"));
                let born = if step.verb == "clone" { before.entering(group) } else { before };
                labels.insert(child.parse().unwrap_or(u32::MAX), born);
                before
            }
            "lost" => {
                let _ = writeln!(wrong, "it died or hangs: {line}");
                before
            }
            "update" if step.result != 0 => {
                let _ = writeln!(wrong, "the update failed: {line}");
                continue;
            }
            "update" => continue,
            _ => before,
        };
        labels.insert(step.worker, after);
        let Some((refused, ever, always)) = step.seen else { continue };
        looks += 1;
        if refused != after.0 {
            let _ = writeln!(wrong, "bound by {:x}, not {:x}: {line}", refused, after.0);
        }
        if step.verb == "watched" && (always & before.0 != before.0 || ever & !after.0 != 0) {
            let _ = writeln!(wrong, "on the way from {:x} to {:x} a thread saw another: {line}", before.0, after.0);
        }
    }
    if !said.lines().any(|line| line == "model end") {
        wrong.push_str("the guest did not come to the end\n");
    }
    if wrong.is_empty() && looks > 0 { Ok(looks) } else { Err(format!("{looks} looks; wrong:\n{wrong}")) }
}

/// CPUs of its guest: threads look while others move. QEMU 7.2 makes 6.12 panic with two now and then.
pub const CPUS: u32 = 1;

/// Lets the processes live on `kernel`, and plays their steps.
///
/// # Errors
/// Every look that differs from the model's word.
pub fn prove(kernel: &str) -> Result<(), String> {
    let number = |name: &str, default: u32| env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (steps, seed) = (number("KILN_MODEL_STEPS", 400), number("KILN_MODEL_SEED", 1));
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("model-{kernel}"));
    let programs = build::attacks(&work)?;
    let lib = work.join("lib");
    let key = policy::image(&lib)?;
    let mut script = "mkdir -p /var/lib/kiln /probe; touch /probe/a /probe/b /probe/c /probe/g /probe/h /probe/e\n\
                      for unit in a b g h1 n; do mkdir -p /sys/fs/cgroup/system.slice/$unit.service/sub; done\n\
                      agent=/usr/lib/kiln/kiln-agent\n$agent load >/kiln/load.log 2>&1 || cat /kiln/load.log\n"
        .to_owned();
    let _ = write!(script, "/kt/kt model {seed} {steps}");
    for serial in 1..=u64::from(steps / 100 + 2) {
        let name = if serial == 1 { "policy".to_owned() } else { format!("policy{serial}") };
        policy::seal(&lib, &name, &policy::compile("model.pdl", POLICY, kernel, serial)?, &key)?;
        if serial > 1 {
            let _ = write!(
                script,
                " '/usr/lib/kiln/kiln-agent update --tables /usr/lib/kiln/{name}.tables --signature \
                 /usr/lib/kiln/{name}.dsse.json >/kiln/update.log 2>&1'"
            );
        }
    }
    script.push_str("\ncat /kiln/update.log\n$agent status\n");
    let mut vm = Vm::new(&work, 1500);
    vm.image(&lib)?;
    for (from, to) in &programs.files {
        vm.file(from, to);
    }
    // Programs that selectors name.
    for name in ["c", "e"] {
        vm.file(&work.join("kt"), &format!("/kt/{name}"));
    }
    play(&vm.run(kernel, &script)?).map(|_| ())
}

/// The model's own proof that it can fail: a look that differs is found.
pub fn own_trial() -> Trial {
    Trial::test("model::itself", || {
        let right = "model 0 spawn 1 -\nmodel 0 move 1 b = 0 refused a ever 0 always 0\nmodel end";
        if play(right) != Ok(1) {
            return Err("a right run is found wrong".into());
        }
        for (from, to) in [("refused a", "refused 2"), ("model end", ""), ("= 0", "= -1"), ("move 1 b", "move 1 n")] {
            if play(&right.replace(from, to)).is_ok() {
                return Err(format!("a run with {to} for {from} is found right").into());
            }
        }
        Ok(())
    })
}
