//! What enforcement costs, in guest instructions: `just vm-cost`.
//!
//! Under QEMU's icount a guest nanosecond is a guest instruction, so that the numbers repeat. Each kernel is booted
//! four times: with no LSM beside capabilities, with AppArmor, with Landlock, with Kiln; all but the first measure a task
//! that no policy binds and one that a policy of the same rules binds. The costs are what is added over the first. With Kiln the same
//! is measured before the policy is loaded, too: what it then takes is the kernel's own, for `bpf` in `lsm=`. All tasks
//! are in a control group of the same depth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::case::folder;
use crate::vm::Vm;
use crate::{build, policy};

/// Operations that have a bar, as operations.c names them.
const BARRED: [&str; 4] = ["open-13", "open-36", "exec", "connect"];
/// All operations.
const OPERATIONS: [&str; 12] = [
    "open-13", "open-36", "exec", "connect", "fork", "unlink", "rename", "mmap", "mprotect", "sendto", "bind", "accept",
];
/// How a kernel is booted: a name, and what `lsm=` says.
type Mode = (&'static str, &'static str);
const MODES: [Mode; 4] = [
    ("base", "capability"),
    ("apparmor", "capability,apparmor"),
    ("landlock", "capability,landlock"),
    ("kiln", "capability,bpf"),
];
/// Without these an exec's own cost moves between boots by more than what is measured: by where its addresses are, and by
/// which objects of the kernel's allocator share their pages and how many a page holds.
pub const APPEND: &str = "nokaslr norandmaps slab_nomerge slub_min_order=3";
/// What a confined task may pay, of what AppArmor takes.
const OF_APPARMOR: f64 = 0.8;
/// What the loaded policy may add to an unconfined task's open and close. An empty LSM program adds 170 to 183.
const UNCONFINED_OPEN: i64 = 210;

/// Nanoseconds by configuration and operation.
type Costs = BTreeMap<(String, String), i64>;

/// The measurement of a kernel; only when asked for, as it takes minutes.
pub fn trial(kernel: &'static str) -> Trial {
    Trial::test(format!("cost::{kernel}"), move || measure(kernel).map_err(Failed::from)).with_ignored_flag(true)
}

fn measure(kernel: &str) -> Result<(), String> {
    let work = &Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cost-{kernel}"));
    let lib = &work.join("lib");
    let key = policy::image(lib)?;
    let source = folder().join("cost/policy.pdl");
    let text = std::fs::read_to_string(&source).map_err(|error| format!("{}: {error}", source.display()))?;
    policy::seal(lib, "policy", &policy::compile("policy.pdl", &text, kernel, 1)?, &key)?;
    let programs = &programs(work)?;
    // All wait for a turn of the machine at the same time.
    let said = std::thread::scope(|scope| {
        let boots = MODES.map(|mode| scope.spawn(move || boot(kernel, mode, &work.join(mode.0), programs, lib)));
        boots.map(|boot| boot.join().expect("a boot does not panic"))
    });
    let mut costs = Costs::new();
    for said in said {
        read(kernel, &said?, &mut costs)?;
    }
    print(kernel, &costs)?;
    judge(&costs)
}

/// What the guest says in one mode.
fn boot(kernel: &str, mode: Mode, work: &Path, programs: &[(PathBuf, String)], lib: &Path) -> Result<String, String> {
    let (name, lsm) = mode;
    std::fs::create_dir_all(work).map_err(|error| format!("{}: {error}", work.display()))?;
    let mut vm = Vm::new(work, 2_400);
    vm.option(&["--icount", "--lsm", lsm, "--append", APPEND]);
    for (from, to) in programs {
        vm.file(from, to);
    }
    if name == "kiln" {
        vm.image(lib)?;
    }
    vm.run(kernel, include_str!("cost/cost.sh"))
}

fn read(kernel: &str, said: &str, costs: &mut Costs) -> Result<(), String> {
    for line in said.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["cost", whose, operation, value, low, high] => {
                let value = value.parse().map_err(|_| format!("no number: {line}"))?;
                println!("{kernel} {whose} {operation}: {value}, by rounds from {low} to {high}");
                costs.insert((whose.to_owned(), operation.to_owned()), value);
            }
            ["cost", whose, "program", operation, program, runs, spent] => {
                println!("{kernel} {whose} {operation}: {program} ran {runs} times in 100 turns, {spent} in all");
            }
            ["cost-error", ..] => return Err(line.to_owned()),
            _ => {}
        }
    }
    Ok(())
}

/// The programs and files that a guest measures with, and where it has them.
///
/// # Errors
/// If one does not build.
pub fn programs(work: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let sources = folder().join("cost");
    let (cost, nothing, apparmor) = (work.join("cost"), work.join("nothing"), work.join("apparmor.bin"));
    let parts = ["cost.c", "operations.c", "landlock.c"].map(|name| sources.join(name));
    build::run(Command::new("gcc").args(["-static", "-O1", "-Wall", "-Werror", "-o"]).arg(&cost).args(parts))?;
    build::run(
        Command::new("gcc").args(["-static", "-nostdlib", "-O1", "-o"]).arg(&nothing).arg(sources.join("nothing.c")),
    )?;
    parse_apparmor(&sources.join("apparmor.profile"), &apparmor)?;
    let hostname = work.join("hostname");
    policy::write(&hostname, b"guest\n")?;
    let files = [
        (cost, "/kiln/cost"),
        (nothing, "/usr/sbin/nothing"),
        (apparmor, "/kiln/apparmor.bin"),
        (hostname, "/etc/hostname"),
    ];
    Ok(files.map(|(from, to)| (from, to.to_owned())).into())
}

/// Compiles AppArmor's profiles.
///
/// # Errors
/// What the parser says.
pub fn parse_apparmor(text: &Path, compiled: &Path) -> Result<(), String> {
    // The host's kernel need not have AppArmor: the features are those of the parser's own ABI file.
    let command = "PATH=$PATH:/usr/sbin apparmor_parser -S -K -Q -M /etc/apparmor.d/abi/3.0 \"$0\" >\"$1\"";
    build::run(Command::new("sh").args(["-c", command]).arg(text).arg(compiled)).map(drop)
}

fn added(costs: &Costs, whose: &str, operation: &str) -> Result<i64, String> {
    let of = |whose: &str| {
        let key = (whose.to_owned(), operation.to_owned());
        costs.get(&key).copied().ok_or_else(|| format!("{operation} of {whose} was not measured"))
    };
    Ok(of(whose)? - of("base")?)
}

/// What the loaded policy adds over a kernel that has `bpf` in `lsm=` and no policy.
fn loaded(costs: &Costs, whose: &str, operation: &str) -> Result<i64, String> {
    Ok(added(costs, whose, operation)? - added(costs, "kiln-idle", operation)?)
}

/// The table for docs/performance.md.
fn print(kernel: &str, costs: &Costs) -> Result<(), String> {
    println!(
        "\n| {kernel} | Landlock confined | AppArmor confined | Kiln confined | of AppArmor | AppArmor unconfined | Kiln unconfined | of it `bpf` in `lsm=` |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for operation in OPERATIONS {
        let of = |whose: &str| added(costs, whose, operation);
        let (theirs, ours) = (of("apparmor-confined")?, of("kiln-confined")?);
        println!(
            "| {operation} | {} | {theirs} | {ours} | {:.2} | {} | {} | {} |",
            of("landlock-confined")?,
            ours as f64 / theirs as f64,
            of("apparmor-unconfined")?,
            of("kiln-unconfined")?,
            of("kiln-idle")?
        );
    }
    println!(
        "\nOnce a task has left its unit's cgroup and bears its label itself: what is added for it, and for who is unconfined."
    );
    for operation in OPERATIONS {
        let of = |whose: &str| added(costs, whose, operation);
        println!("{kernel} {operation}: {}, {}", of("kiln-bearer")?, of("kiln-unconfined-later")?);
    }
    Ok(())
}

fn judge(costs: &Costs) -> Result<(), String> {
    let mut wrong = Vec::new();
    for operation in BARRED {
        let (theirs, ours) = (added(costs, "apparmor-confined", operation)?, added(costs, "kiln-confined", operation)?);
        if ours as f64 > theirs as f64 * OF_APPARMOR {
            wrong.push(format!("{operation}, confined: {ours} is more than {OF_APPARMOR} of AppArmor's {theirs}"));
        }
    }
    for operation in ["open-13", "open-36"] {
        let ours = loaded(costs, "kiln-unconfined", operation)?;
        if ours > UNCONFINED_OPEN {
            wrong.push(format!("{operation}, unconfined: the policy adds {ours}, more than {UNCONFINED_OPEN}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
