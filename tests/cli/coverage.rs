//! The table of what the kernel offers and what Kiln makes of it: `tests/coverage/*.toml` is its source, docs/coverage.md
//! its readable form, `src/agent/src/load/known/names.txt` what the agent holds a running kernel against.
//! `KILN_WRITE=1 cargo test --test cli coverage` writes both again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

/// One source file: its name, its title in the page, and what the agent calls its names (none: it cannot see them).
const PARTS: [(&str, &str, Option<&str>); 9] = [
    ("hooks", "Hooks of the LSM interface", Some("hook")),
    ("syscalls", "System calls", Some("call")),
    ("uring", "Operations of io_uring", Some("ring")),
    ("families", "Socket families", None),
    ("protocols", "Internet protocols", None),
    ("sockopts", "Options of setsockopt(2)", None),
    ("filesystems", "File systems", None),
    ("prctl", "Options of prctl(2)", None),
    ("ioctls", "Commands of ioctl(2)", None),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Decides,
    Guards,
    Labels,
    Through,
    Nothing,
    Open,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    names: Vec<String>,
    answer: Answer,
    by: Option<String>,
    class: Option<String>,
    because: Option<String>,
    /// When a call without an error leaves no report, where all is governed and nothing permitted: the probes of
    /// tests/kernel/probe.rs then look for none.
    quiet: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    row: Vec<Row>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn part(name: &str) -> Part {
    let path = root().join(format!("tests/coverage/{name}.toml"));
    let text = fs::read_to_string(&path).expect("a part of the table");
    toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Rows by name; a name stands once.
fn rows(part: &Part) -> BTreeMap<&str, &Row> {
    let mut rows = BTreeMap::new();
    for row in &part.row {
        for name in &row.names {
            assert!(rows.insert(name.as_str(), row).is_none(), "{name} stands twice");
        }
    }
    rows
}

/// Compares a file with what it should be, or writes it.
fn hold(path: &str, right: &str) {
    let file = root().join(path);
    if std::env::var_os("KILN_WRITE").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder that can be made");
        fs::write(&file, right).expect("a file that can be written");
    }
    let is = fs::read_to_string(&file).unwrap_or_default();
    assert!(is == right, "{path} is out of step; KILN_WRITE=1 cargo test --test cli coverage writes it");
}

#[test]
fn every_row_says_what_or_why() {
    for (name, ..) in PARTS {
        for (of, row) in rows(&part(name)) {
            let told = row.because.is_some() || row.class.is_some();
            let by = row.by.is_some() || row.answer != Answer::Through;
            assert!(told && by, "{name}: {of} says neither who decides it nor why it cannot matter");
        }
    }
}

#[test]
fn the_page_is_in_step() {
    let mut page = "# Coverage\n\nWhat the kernels 6.1 and 6.12 offer, and what Kiln makes of it. Generated from \
                    `tests/coverage`; a kernel that has\na hook, system call or io_uring operation without a row fails the \
                    kernel tests, and `kiln-agent load` reports it, or\nrefuses to load where the image's `agent.json` \
                    says `\"unknown_kernel\": \"refuse\"`.\n\n**decides**: a program of Kiln's is there and decides the \
                    class; without a subject that governs the class it decides\nnothing. **guards**: a program protects \
                    Kiln itself. **labels**: a program keeps labels. **through**: what it reaches is\ndecided at the \
                    hooks that the row names. **nothing**: it reaches nothing that a policy or a promise speaks of.\n\
                    **open**: it matters and is not decided; SECURITY.md says so.\n"
        .to_owned();
    for (name, title, _) in PARTS {
        let part = part(name);
        let _ = write!(page, "\n## {title}\n\n| name | answer | where | class | why |\n|---|---|---|---|---|\n");
        for (of, row) in rows(&part) {
            let answer = format!("{:?}", row.answer).to_lowercase();
            let cell = |text: &Option<String>| text.clone().unwrap_or_default();
            let (by, class, mut why) = (cell(&row.by), cell(&row.class), cell(&row.because));
            if let Some(quiet) = &row.quiet {
                let _ = write!(why, "{}no report: {quiet}", if why.is_empty() { "" } else { "; " });
            }
            let _ = writeln!(page, "| `{of}` | {answer} | {by} | {class} | {why} |");
        }
    }
    hold("docs/coverage.md", &page);
}

#[test]
fn the_agent_knows_the_same_names() {
    let mut names = BTreeSet::new();
    for (name, _, prefix) in PARTS {
        let Some(prefix) = prefix else { continue };
        names.extend(rows(&part(name)).keys().map(|of| format!("{prefix} {of}\n")));
    }
    hold("src/agent/src/load/known/names.txt", &names.into_iter().collect::<String>());
}

#[test]
fn each_hook_that_decides_has_a_program_and_each_program_a_row() {
    let mut attached = BTreeSet::new();
    for entry in fs::read_dir(root().join("bpf")).expect("the programs") {
        let path = entry.expect("a readable entry").path();
        if path.extension().is_some_and(|e| e == "c") {
            let text = fs::read_to_string(path).expect("C source");
            for hook in text.split("SEC(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let hook = hook.trim_start_matches('?');
                attached.extend(hook.strip_prefix("lsm/").or_else(|| hook.strip_prefix("lsm.s/")).map(str::to_owned));
            }
        }
    }
    let hooks = part("hooks");
    let rows = rows(&hooks);
    for (name, row) in &rows {
        let ours = matches!(row.answer, Answer::Decides | Answer::Guards | Answer::Labels);
        assert_eq!(ours, attached.contains(*name), "{name}: its row says {:?}", row.answer);
    }
    assert!(attached.iter().all(|name| rows.contains_key(name.as_str())));
}
