//! docs/attacks.md: each case of the kernel tests by kind, where it is tried, and what it answers. Its sources are the
//! cases and `tests/coverage/attacks.toml`. `KILN_WRITE=1 cargo test --test cli attacks` writes the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The page's own text.
    preface: String,
    actions: String,
    kind: Vec<Kind>,
    #[serde(default)]
    action: Vec<Action>,
    #[serde(default)]
    published: Vec<Published>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    name: String,
    about: String,
    /// Patterns of cases' names.
    cases: Vec<String>,
}

/// An action of event-generator.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    name: String,
    /// Whether it runs unless somebody asks for all.
    #[serde(default)]
    default: bool,
    #[serde(default)]
    cases: Vec<String>,
    /// Why there is no case.
    because: Option<String>,
}

/// A way round confinement that others described.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    name: String,
    cases: Vec<String>,
}

/// What of a case the page needs (`tests/kernel/case.rs`).
#[derive(Debug, Deserialize)]
struct Case {
    about: String,
    #[serde(default)]
    kind: String,
    event: Event,
    users: Option<Vec<String>>,
    kernels: Option<Vec<String>>,
    no_sandbox: Option<String>,
    open: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Event {
    verb: String,
    object: Option<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn table() -> Table {
    toml::from_str(&fs::read_to_string(root().join("tests/coverage/attacks.toml")).unwrap()).unwrap()
}

fn cases() -> BTreeMap<String, Case> {
    let files = fs::read_dir(root().join("tests/kernel/cases")).unwrap();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let case =
            toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, case)
    };
    files.map(|entry| read(entry.unwrap().path())).collect()
}

/// `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            name.strip_prefix(before).is_some_and(|rest| (0..=rest.len()).any(|at| fits(after, &rest[at..])))
        }
    }
}

/// The cases of each kind, in the order of the kinds.
fn by_kind(kinds: &[Kind]) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new(); kinds.len()];
    for name in cases().into_keys() {
        let place = kinds.iter().position(|kind| kind.cases.iter().any(|pattern| fits(pattern, &name)));
        found[place.unwrap_or_else(|| panic!("tests/coverage/attacks.toml has no kind for the case {name}"))]
            .push(name);
    }
    found
}

#[test]
fn every_pattern_has_its_case() {
    let table = table();
    let found = by_kind(&table.kind);
    for (kind, cases) in table.kind.iter().zip(&found) {
        for pattern in &kind.cases {
            assert!(cases.iter().any(|name| fits(pattern, name)), "{}: no case is left for {pattern}", kind.name);
        }
    }
}

#[test]
fn what_answers_an_action_is_there() {
    let (table, cases) = (table(), cases());
    let mut names = BTreeSet::new();
    for action in &table.action {
        assert!(names.insert(&action.name), "{} is there twice", action.name);
        assert_eq!(action.cases.is_empty(), action.because.is_some(), "{}: cases, or why there are none", action.name);
        assert!(!action.default || !action.cases.is_empty(), "{} is a default action without a case", action.name);
    }
    let answers = table.action.iter().flat_map(|action| &action.cases);
    for name in answers.chain(table.published.iter().flat_map(|way| &way.cases)) {
        assert!(cases.contains_key(name), "no case is called {name}");
    }
}

/// The conditions under which a case is run on a kernel (`tests/kernel/matrix.rs`).
fn modes(case: &Case, kernel: &str) -> String {
    if case.kernels.as_ref().is_some_and(|kernels| !kernels.iter().any(|name| name == kernel)) {
        return "–".to_owned();
    }
    match (case.kind == "guard", case.no_sandbox.is_some()) {
        (false, false) => "p f s b",
        (true, false) => "p s",
        (false, true) => "p f",
        (true, true) => "p",
    }
    .to_owned()
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', " ")
}

#[test]
fn the_page_is_in_step() {
    let (table, cases) = (table(), cases());
    let found = by_kind(&table.kind);
    let mut page = table.preface.clone();
    let _ = writeln!(page, "\n## Kinds\n\n| kind | cases | about |\n|---|---|---|");
    for (kind, names) in table.kind.iter().zip(&found) {
        let _ = writeln!(page, "| {} | {} | {} |", kind.name, names.len(), kind.about);
    }
    let _ = writeln!(page, "| all | {} | |", cases.len());
    let _ = writeln!(page, "\n## Ways round that others described\n\n| way | cases |\n|---|---|");
    for way in &table.published {
        let _ = writeln!(page, "| {} | {} |", way.name, listed(&way.cases));
    }
    let _ = writeln!(page, "\n{}", table.actions.trim_end());
    for action in &table.action {
        let answer = action.because.clone().unwrap_or_else(|| listed(&action.cases));
        let _ = writeln!(page, "| {} | {} | {answer} |", action.name, if action.default { "yes" } else { "" });
    }
    for (kind, names) in table.kind.iter().zip(&found) {
        let _ = writeln!(page, "\n## {}\n", kind.name);
        let _ = writeln!(page, "| case | what holds | reported as | as | 6.1 | 6.12 |\n|---|---|---|---|---|---|");
        for name in names {
            let case = &cases[name];
            let object = case.event.object.as_deref().map(|object| format!(" `{object}`")).unwrap_or_default();
            let users = case.users.as_ref().map_or("root, nobody".to_owned(), |users| users.join(", "));
            let open = case.open.as_ref().map(|hole| format!(" **Open**: {}", cell(hole))).unwrap_or_default();
            let (old, new) = (modes(case, "6.1"), modes(case, "6.12"));
            let about = cell(&case.about);
            let _ =
                writeln!(page, "| `{name}` | {about}{open} | {}{object} | {users} | {old} | {new} |", case.event.verb);
        }
    }
    let file = root().join("docs/attacks.md");
    if std::env::var_os("KILN_WRITE").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let is = fs::read_to_string(&file).unwrap_or_default();
    assert!(is == page, "out of step; KILN_WRITE=1 cargo test --test cli attacks writes it");
}
