//! What people's images hold: each file of `tests/corpus/field` is one kind, with what is right about it. docs/field.md is the
//! table of them.
//!
//! ```text
//! kind: entries of a map are data
//! unit: nginx.service
//! may: connect tcp 192.0.2.7:80
//! not: read /root
//! as: /usr/bin/dash
//! may: exec /usr/bin/kill
//! note: begins with a variable
//! exit: 0
//! -- etc/nginx/nginx.conf --
//! …
//! ```
//!
//! The files stand above those of `base.root`. `as` names the program that does what follows.

pub mod commands;
mod judges;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use kiln::model::{KernelOp, Proto, Verb, capability_number};
use kiln::pdl::{NoFiles, Source};
use kiln::policy::eval::{Atom, Evaluator, Operation, Target, Task};

use crate::image;

pub const BASE: &str = include_str!("../../corpus/field/base.root");

/// The cases of the corpus, with their texts.
pub fn cases() -> Vec<(PathBuf, String)> {
    let mut files: Vec<PathBuf> = fs::read_dir("tests/corpus/field").unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "case"));
    files.sort();
    files.into_iter().map(|p| (p.clone(), fs::read_to_string(p).unwrap())).collect()
}

/// The image of a case.
pub fn build(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    image::build(dir.path(), BASE);
    image::build(dir.path(), text);
    dir
}

/// `key: value` lines above the files.
pub fn head(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().take_while(|l| !l.starts_with("-- ")).filter_map(|l| l.split_once(": "))
}

pub fn unit_of(text: &str) -> &str {
    head(text).find(|(k, _)| *k == "unit").map_or("app.service", |(_, v)| v)
}

#[test]
fn corpus() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    for (path, text) in cases {
        let dir = build(&text);
        for fault in judge(dir.path(), &text) {
            wrong.push(format!("{}: {fault}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The table of docs/field.md tells how many there are.
#[test]
fn counts() {
    let text = fs::read_to_string("docs/field.md").unwrap();
    let row = |of: &str| {
        let line = text.lines().find(|l| l.starts_with(&format!("| {of}"))).unwrap_or_else(|| panic!("no row {of}"));
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        (cells[2].parse::<usize>().unwrap(), cells[3].parse::<usize>().unwrap())
    };
    let cases = cases();
    let judged = cases.iter().filter(|(_, t)| head(t).any(|h| h == ("judge", "systemd"))).count();
    for (of, count) in [
        ("what is granted", cases.len()),
        ("policies and command lines", commands::files().len()),
        ("drop-ins, command lines", judged),
        ("words, quotes", judges::TEXTS.len()),
        ("capability sets", judges::SETS.len()),
        ("ways in which objects name libraries: glibc", judges::loader::objects_of("glibc").len()),
        ("ways in which objects name libraries: musl", judges::loader::objects_of("musl").len()),
        ("events of Tetragon", crate::gate::tetragon::EVENTS),
        ("package databases", judges::dpkg::databases().len()),
    ] {
        assert_eq!(row(of), (count, count), "{of}");
    }
}

/// What is wrong with Kiln's reading of a case.
fn judge(root: &Path, text: &str) -> Vec<String> {
    let unit = unit_of(text);
    let mut derive = Command::new(env!("CARGO_BIN_EXE_kiln"));
    derive.arg("derive").arg(root);
    match unit {
        "default" => derive.arg("--all"),
        _ => derive.args(["--unit", unit]),
    };
    let output = derive.output().unwrap();
    let (policy, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let mut wrong = Vec::new();
    let want = head(text).find(|(k, _)| *k == "exit").map_or("0", |(_, v)| v);
    if output.status.code().map(|c| c.to_string()).as_deref() != Some(want) {
        return vec![format!("exit {:?}, not {want}: {said}", output.status.code())];
    }
    let loaded =
        kiln::policy::load(&[Source::new("derived.pdl", if want == "0" { &policy } else { "pdl 1;" })], &NoFiles);
    let loaded = loaded.unwrap_or_else(|e| panic!("{}\n{policy}", e.render(false)));
    if want == "0" {
        let kernel = kiln::compile::KernelVersion::BASELINE;
        let options = kiln::compile::Options { policy: kiln::policy::digest(&loaded), serial: 1, kernel };
        if let Err(e) = kiln::compile::compile(&loaded, &options) {
            wrong.push(format!("it cannot be enforced: {e:?}\n{policy}"));
        }
    }
    let evaluator = Evaluator::new(&loaded).unwrap();
    let name = head(text).find(|(k, _)| *k == "profile").map_or(unit, |(_, v)| v);
    let mut task = Task { unit: Some(name.to_owned()), ..Task::default() };
    for (key, value) in head(text) {
        match key {
            "as" => task.exec = Some(value.to_owned()),
            "may" | "not" => {
                let operation = Operation::Atom(atom(value));
                let allowed = evaluator.evaluate(&task, &operation, "2026-01-01T00:00:00Z".parse().unwrap()).allowed();
                if allowed != (key == "may") {
                    wrong.push(format!("`{key}: {value}` does not hold\n{policy}{said}"));
                }
            }
            "note" if !said.contains(value) => wrong.push(format!("nothing says `{value}`: {said}")),
            "silent" if said.contains(value) => wrong.push(format!("`{value}` is said: {said}")),
            _ => {}
        }
    }
    wrong
}

/// `read /x`, `connect tcp 1.2.3.4:5`, `accept unix /x`, `capability sys_admin`, `kernel setuid`.
fn atom(text: &str) -> Atom {
    let words: Vec<&str> = text.split(' ').collect();
    let proto = |name: &str| name.parse::<Proto>().unwrap();
    match words.as_slice() {
        ["capability", name] => {
            Atom { verb: Verb::Capability, target: Target::Capability(capability_number(name).unwrap()) }
        }
        ["kernel", name] => Atom { verb: Verb::Kernel, target: Target::Kernel(name.parse::<KernelOp>().unwrap()) },
        [verb, "unix", path] => Atom { verb: verb.parse().unwrap(), target: Target::Unix(path.as_bytes().to_vec()) },
        [verb, kind @ ("tcp" | "udp" | "sctp"), at] => {
            let at: SocketAddr = at.parse().unwrap();
            let ip: IpAddr = at.ip();
            Atom { verb: verb.parse().unwrap(), target: Target::ip(proto(kind), ip, at.port()) }
        }
        [verb, path @ ..] => Atom { verb: verb.parse().unwrap(), target: Target::Path(path.join(" ").into_bytes()) },
        [] => panic!("an empty line"),
    }
}
