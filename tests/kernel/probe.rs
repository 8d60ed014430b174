//! Work that nobody here wrote, as a probe of docs/coverage.md: stress-ng and the kernel's own tests of Landlock run in
//! a unit under a profile that would deny everything, in audit mode. Each system call that came back without an error
//! must have left a report of a class that its row in tests/coverage/syscalls.toml names, unless the row names none, or
//! says in `quiet` when it leaves none. `KILN_PROBE="mknod chroot"` runs these pieces only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;

use crate::case::folder;
use crate::fleet::Fleet;
use crate::vm::Vm;
use crate::{build, chosen, guest, matrix, policy};

/// Governs all that can be governed, and permits nothing of it.
const POLICY: &str = r#"pdl 1;
profile probe {
  subject unit "probe.service";
  mode audit;
  governs read, modify, create, delete, setattr, exec, load, bind, connect, accept, capability, kernel;
}
"#;

/// A kind of foreign work, with what it brings into the guest.
#[derive(Debug, Clone, Copy)]
struct Work {
    name: &'static str,
    script: &'static str,
    bring: fn(&str, &Path) -> Result<(), String>,
    modules: &'static [&'static str],
}

const WORKS: [Work; 2] = [
    Work {
        name: "stress",
        script: include_str!("probe/stress.sh"),
        bring: stress,
        modules: &["loop", "tun", "sctp", "dccp", "udp_diag", "tcp_diag", "veth", "overlay", "dummy"],
    },
    Work { name: "landlock", script: include_str!("probe/landlock.sh"), bring: landlock, modules: &["overlay"] },
];

/// A trial for each kernel and kind of work, only in the long run or when asked for: it takes minutes.
pub fn trials(fleet: &Arc<Fleet>, arguments: &Arguments) -> Vec<Trial> {
    let mut trials = Vec::new();
    for kernel in guest::KERNELS {
        for work in WORKS {
            let name = format!("{kernel}::probe::{}", work.name);
            let prove = move || prove(kernel, work);
            trials.push(if matrix::is_whole() && chosen::is_chosen(arguments, &name) {
                chosen::alone(fleet, &name, 1, prove)
            } else {
                Trial::test(name, move || prove().map_err(Failed::from)).with_ignored_flag(!matrix::is_whole())
            });
        }
    }
    trials
}

fn prove(kernel: &str, work: Work) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("probe-{}-{kernel}", work.name));
    let lib = folder.join("lib");
    let key = policy::image(&lib)?;
    policy::seal(&lib, "policy", &policy::compile("probe.pdl", POLICY, kernel, 1)?, &key)?;
    let things = folder.join("things");
    for part in ["foreign", "libraries"] {
        fs::create_dir_all(things.join(part)).map_err(|error| format!("{}: {error}", things.display()))?;
    }
    (work.bring)(kernel, &things)?;
    let mut vm = Vm::new(&folder, 3600);
    for module in work.modules {
        vm.option(&["--module", module]);
    }
    vm.image(&lib)?
        .file(&things.join("foreign"), "/kiln/foreign")
        .file(&things.join("libraries"), "/kiln/libraries")
        .file(&build::loader()?, "/lib64/ld-linux-x86-64.so.2");
    // Some of it, where somebody asks for no more.
    let only = std::env::var("KILN_PROBE").unwrap_or_default().replace(['\'', '\n'], " ");
    judge(&vm.run(kernel, &format!("only='{only}'\n{}\n{}", include_str!("probe/probe.sh"), work.script))?)
}

/// stress-ng of this machine, with its libraries.
fn stress(_: &str, to: &Path) -> Result<(), String> {
    let program = Path::new("/usr/bin/stress-ng");
    copy(program, &to.join("foreign/kp-stress-ng"))?;
    for line in build::run(Command::new("ldd").arg(program))?.lines() {
        let library = line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
        if let Some(library) = library.filter(|path| !path.starts_with("/lib64")) {
            copy(&library, &to.join("libraries").join(library.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

/// The tests of Landlock, built from Debian's source of the kernel.
fn landlock(kernel: &str, to: &Path) -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("image-fixtures/kernels.sh");
    let source = PathBuf::from(build::run(Command::new(script).args(["--tests", kernel]))?);
    let tests = source.join("tools/testing/selftests");
    let headers = to.join("headers");
    for header in ["landlock.h", "fs.h"] {
        copy(&source.join("include/uapi/linux").join(header), &headers.join("linux").join(header))?;
    }
    let mut built = 0;
    for entry in fs::read_dir(tests.join("landlock")).map_err(|error| format!("{}: {error}", tests.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix("_test.c") else { continue };
        build::run(
            Command::new("gcc")
                .args(["-static", "-O1", "-w", "-D_GNU_SOURCE", "-D__user=", "-isystem"])
                .arg(&headers)
                .arg(format!("-I{}", tests.display()))
                .arg("-o")
                .arg(to.join("foreign").join(format!("kp-{name}")))
                .arg(&path)
                .args(["-lcap", "-lpthread"]),
        )?;
        built += 1;
    }
    if built == 0 { Err(format!("no tests in {}", tests.display())) } else { Ok(()) }
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let folder = to.parent().unwrap_or(to);
    let copied = fs::create_dir_all(folder).and_then(|()| fs::copy(from, to));
    copied.map(|_| ()).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

/// What a row says that counts here.
#[derive(Debug, Deserialize)]
struct Row {
    names: Vec<String>,
    class: Option<String>,
    quiet: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Part {
    row: Vec<Row>,
}

/// The classes of a call that must leave a report, by call; none for the others.
fn expected() -> Result<BTreeMap<String, Vec<String>>, String> {
    let path = folder().join("../coverage/syscalls.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let part: Part = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut expected = BTreeMap::new();
    for row in part.row {
        let class = row.class.filter(|_| row.quiet.is_none()).unwrap_or_default();
        let classes: Vec<String> = class.split(',').map(|word| word.trim().to_owned()).collect();
        let classes: Vec<String> = classes.into_iter().filter(|word| !word.is_empty()).collect();
        for name in row.names {
            expected.insert(name, classes.clone());
        }
    }
    Ok(expected)
}

/// One piece of work.
#[derive(Debug, Default)]
struct Piece {
    dropped: u64,
    calls: Vec<String>,
    left: BTreeSet<String>,
}

fn parse(said: &str) -> Result<BTreeMap<String, Piece>, String> {
    let mut pieces: BTreeMap<String, Piece> = BTreeMap::new();
    let mut name = String::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["kt-probe", of, _, dropped] => {
                of.clone_into(&mut name);
                pieces.entry(name.clone()).or_default().dropped = dropped.parse().unwrap_or(u64::MAX);
            }
            ["kt-calls", ..] => {
                pieces.entry(name.clone()).or_default().calls.extend(words[1..].iter().map(|word| (*word).to_owned()));
            }
            ["kt-left", _, ..] => {
                pieces.entry(name.clone()).or_default().left.insert(words[2..].join(" "));
            }
            _ => {}
        }
    }
    match said.lines().any(|line| line == "kt-loaded") && said.lines().any(|line| line == "kt-probes-end") {
        true => Ok(pieces),
        false => Err("the guest did not come to the end of its work, or the policy was not loaded".to_owned()),
    }
}

/// Passes if every call of every piece left what its row says. Where reports were dropped, none that is missing counts.
fn judge(said: &str) -> Result<(), String> {
    let (expected, pieces) = (expected()?, parse(said)?);
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut judged, mut seen) = (0, BTreeSet::new());
    for (name, piece) in &pieces {
        for call in &piece.calls {
            let Some(classes) = expected.get(call) else {
                wrong.entry(format!("{call} has no row")).or_default().push(name.clone());
                continue;
            };
            seen.insert(call.clone());
            let left = classes.is_empty() || classes.iter().any(|class| piece.left.contains(class));
            judged += 1;
            if !left && piece.dropped == 0 {
                let text = format!("{call} left no report of {}", classes.join(", "));
                wrong.entry(text).or_default().push(name.clone());
            }
        }
    }
    eprintln!("{} pieces of work, {judged} calls, {} of them different", pieces.len(), seen.len());
    if wrong.is_empty() && judged > 0 {
        return Ok(());
    }
    let mut text = String::new();
    for (what, pieces) in wrong {
        let _ = writeln!(text, "{what}: in {}", pieces.join(", "));
    }
    Err(text)
}
