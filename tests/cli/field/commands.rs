//! What people write into policies and on command lines: each `.run` file of `tests/corpus/field` is one kind.
//!
//! ```text
//! kind: a byte order mark
//! run: kiln check p.pdl
//! exit: 0
//! says: ok: 1 profile
//! silent: P0106
//! -- p.pdl bytes --
//! …
//! ```
//!
//! `run` is a line of bash in the folder of the files, `{…}` in it makes several; what follows is of the run above.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::image;

/// The files with their texts.
pub fn files() -> Vec<(PathBuf, String)> {
    let mut files: Vec<PathBuf> = fs::read_dir("tests/corpus/field").unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "run"));
    files.sort();
    files.into_iter().map(|p| (p.clone(), fs::read_to_string(p).unwrap())).collect()
}

/// Runs a line: its exit code, and all that it said.
pub fn bash(folder: &Path, line: &str) -> (String, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_kiln"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.current_dir(folder).env("PATH", path).env("NO_COLOR", "1").env("HOME", folder).stdin(Stdio::null());
    let output = command.args(["-c", line]).output().unwrap();
    let code = output.status.code().map_or_else(|| "killed".to_owned(), |c| c.to_string());
    (code, String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn what_people_write_is_read_and_answered() {
    let mut wrong = String::new();
    for (path, text) in files() {
        let dir = tempfile::tempdir().unwrap();
        image::build(dir.path(), &text);
        let mut last = (String::new(), String::new(), String::new());
        for (key, value) in super::head(&text) {
            let holds = match key {
                "run" => {
                    let (code, said) = bash(dir.path(), value);
                    last = (value.to_owned(), code, said);
                    !last.2.contains("panicked")
                }
                "exit" => last.1 == value,
                "says" => last.2.contains(value),
                "silent" => !last.2.contains(value),
                _ => key == "kind",
            };
            if !holds {
                wrong += &format!("{}: `{key}: {value}` after `{}`: {} {}\n", path.display(), last.0, last.1, last.2);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Runs a command with whatever is closed, full, or left by its reader, `before` in front of it: what it does then that it must
/// not, which is to panic or to end with another code.
pub fn whoever_reads(folder: &Path, before: &str, command: &str, code: &str) -> String {
    let mut wrong = String::new();
    for to in ["", ">&-", "2>&-", "2>/dev/full", ">&- 2>&-", "| true", "2>&1 >/dev/null | true", "<&- >&- 2>&-"] {
        let (found, said) = bash(folder, &format!("{before}{command} {to}; exit ${{PIPESTATUS[0]}}"));
        if found != code || said.contains("panicked") {
            wrong += &format!("{command} {to}: {found}, not {code}: {said}\n");
        }
    }
    for to in [">/dev/full", ">/dev/full 2>/dev/full"] {
        let (found, said) = bash(folder, &format!("{before}{command} {to}"));
        if !["2", code].contains(&&*found) || said.contains("panicked") {
            wrong += &format!("{command} {to}: {found}: {said}\n");
        }
    }
    wrong
}

/// Every command that needs no POS (those that do are in `pos::readers`), with whatever is closed or full: none panics, none changes its exit code for a reader that
/// went away.
#[test]
fn nobody_has_to_read() {
    let dir = tempfile::tempdir().unwrap();
    image::build(dir.path(), COMMANDS_ROOT);
    fs::write(dir.path().join("agent"), image::static_program()).unwrap();
    assert_eq!(bash(dir.path(), "kiln keygen keys && kiln compile p.pdl -o p.tables").0, "0");
    let clean = "rm -rf k2 out.tables out.pdl out.dir; cp odd.txt odd.pdl; ";
    let mut wrong = String::new();
    for line in COMMANDS.trim().lines() {
        let (code, command) = line.split_once(' ').unwrap();
        wrong += &whoever_reads(dir.path(), clean, &format!("kiln {command}"), code);
    }
    assert!(wrong.is_empty(), "{wrong}");
    // What a command was asked to do is done, whoever reads.
    let (_, said) = bash(
        dir.path(),
        "cp odd.txt a.pdl; cp odd.txt b.pdl; kiln fmt a.pdl b.pdl | true; kiln fmt --check a.pdl b.pdl",
    );
    assert_eq!(said, "");
}

/// The agent, on a machine that has no policy of Kiln's: what it finds there depends on the machine, the streams do not.
#[test]
fn nobody_has_to_read_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = String::new();
    for command in
        ["", "--help", "--version", "nonsense", "update", "status", "status --format json", "verify", "kernel"]
    {
        let command = format!("kiln-agent {command}");
        let (code, _) = bash(dir.path(), &command);
        wrong += &whoever_reads(dir.path(), "", &command, &code);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The exit code, and the command.
const COMMANDS: &str = "
0 check p.pdl
1 check bad.pdl
0 check --format json p.pdl
1 fmt --check odd.pdl
0 fmt odd.pdl
2 fmt broken.pdl
0 expand p.pdl
0 expand --schema
0 expand --format json p.pdl
0 eval p.pdl --subject unit=a.service --verb read --object /x
1 eval p.pdl --subject unit=a.service --verb read --object /y
1 eval p.pdl --subject unit=a.service --verb read --object /y --format json
0 compile p.pdl -o out.tables
2 compile bad.pdl -o out.tables
1 compile gap.pdl -o out.tables
0 derive root --unit a.service
0 derive root --unit a.service -o out.pdl
0 derive root --unit a.service --format json
2 derive root --unit none.service
0 keygen k2
0 sign p.tables --key keys/policy.key
0 bake root --policy p.pdl --key keys/policy.key --agent agent --no-kernel-check -o out.dir
2 bake root --policy p.pdl --agent agent --no-kernel-check -o out.dir
0 gate --input events.jsonl
0 gate --input events.jsonl --format ocsf
2 gate state --state none
0 completions bash
0 --help
0 --version
0 bake --help
2 nonsense
2 status --pos https://127.0.0.1:1
";

const COMMANDS_ROOT: &str = r#"-- p.pdl --
pdl 1;
profile p {
  subject unit "a.service";
  governs read, exec;
  allow read "/x";
}
-- bad.pdl --
pdl 1;
profile p { subject unit "a.service"; allow read "x"; }
-- broken.pdl --
pdl 1;
profile p { subject
-- odd.txt --
pdl 1;
profile p { subject unit "a.service"; allow read "/x"; }
-- gap.pdl --
pdl 1;
profile p { subject exec "/usr/bin/a"; governs read; allow read "/x"; deny read "/y" then throttle; }
-- events.jsonl --
{"hostname":"h","output":"x","output_fields":{"proc.name":"cat","evt.type":"openat","fd.name":"/etc/hosts"},"priority":"Notice","rule":"Read","time":"2026-01-01T00:00:00Z"}
-- root/usr/bin/a elf interp=/lib64/ld-linux-x86-64.so.2 --
-- root/usr/lib64/ld-linux-x86-64.so.2 elf --
-- root/lib64 -> usr/lib64 --
-- root/usr/lib/systemd/system/a.service --
[Service]
ExecStart=/usr/bin/a
"#;
