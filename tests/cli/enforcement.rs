//! docs/enforcement.md: each construct of PDL, how it is enforced, and which test proves it. Its source is
//! `tests/coverage/enforcement.toml`; the compiler is asked whether each row is true.
//! `KILN_WRITE=1 cargo test --test cli enforcement` writes the page.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use kiln::abi::metadata::ImageInfo;
use kiln::compile::{CompileError, Image, Options, Users, compile_for};
use kiln::model::{Resource, Verb};
use kiln::pdl::{NoFiles, Source};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    names: Vec<String>,
    how: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    proven: Vec<String>,
    /// What is lacking, and on which kernels; then compile refuses it.
    lacking: Option<String>,
    policy: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    row: Vec<Row>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("tests/coverage/enforcement.toml")).unwrap();
    toml::from_str::<Table>(&text).unwrap().row
}

#[test]
fn each_row_is_what_the_compiler_says() {
    // Names and labels are an image's: of this one nothing is known, which is something else than no image.
    let image = ImageInfo::default();
    for row in rows() {
        let text = format!("pdl 1; {}", row.policy);
        let policy = kiln::policy::load(&[Source::new("row.pdl", &text)], &NoFiles)
            .unwrap_or_else(|found| panic!("{:?}: {}", row.names, found.render(false)));
        for kernel in ["6.1", "6.12"] {
            let policy_digest = kiln::policy::digest(&policy);
            let options = Options { policy: policy_digest, serial: 1, kernel: kernel.parse().unwrap() };
            match compile_for(&policy, &options, Image { users: &Users::default(), info: Some(&image) }) {
                Ok(_) => assert!(row.lacking.is_none(), "{:?} compiles for {kernel}", row.names),
                Err(CompileError::Gaps(gaps)) => assert!(row.lacking.is_some(), "{:?}: {gaps:?}", row.names),
                Err(error) => panic!("{:?}: {error}", row.names),
            }
        }
        assert_eq!(row.lacking.is_none(), !row.proven.is_empty(), "{:?} is not proven", row.names);
    }
}

/// A test by its name: a case, a story or a suite of the kernel tests, or a policy that the check must refuse.
fn is_there(name: &str) -> bool {
    let kernel = root().join("tests/kernel");
    let files = [format!("cases/{name}.toml"), format!("stories/{name}.sh"), format!("{name}.rs")];
    files.iter().any(|path| kernel.join(path).is_file())
        || root().join(format!("tests/corpus/pdl/bad/{name}.pdl")).is_file()
}

#[test]
fn what_proves_a_row_is_there() {
    let rows = rows();
    let absent = rows.iter().flat_map(|row| &row.proven).filter(|name| !is_there(name)).collect::<Vec<_>>();
    assert!(absent.is_empty(), "no such test: {absent:?}");
}

/// The words of the language come from the program; none is forgotten.
#[test]
fn every_construct_has_a_row() {
    let rows = rows();
    let named: BTreeSet<&str> = rows.iter().flat_map(|row| &row.names).map(String::as_str).collect();
    let mut words: Vec<String> = Verb::ALL.iter().map(|verb| verb.name().to_owned()).collect();
    words.extend(["tcp", "udp", "sctp", "icmp"].map(str::to_owned));
    words.extend(["alert", "throttle", "quarantine", "kill"].map(|action| format!("then {action}")));
    words.extend(["enforce", "audit", "learn"].map(|mode| format!("mode {mode}")));
    words.extend(Resource::ALL.iter().map(|r| format!("limit {}", r.name().split(' ').next().unwrap())));
    words.extend(["exec", "unit", "image", "user", "host", "label"].map(|key| format!("subject {key}")));
    words.extend(["during", "active during", "by", "dns", "unix", "watch", "never"].map(str::to_owned));
    let absent: BTreeSet<String> = words.into_iter().filter(|word| !named.contains(word.as_str())).collect();
    assert!(absent.is_empty(), "no row: {absent:?}");
}

#[test]
fn the_page_is_in_step() {
    let mut page = "# Enforcement\n\nEach construct of [PDL](pdl.md), how it is enforced, and which test proves it, on 6.1 \
                    and\n6.12. Generated from `tests/coverage/enforcement.toml`; a test compiles a policy with each row, so\n\
                    that a row that says \"nothing yet\" is one that `kiln compile` refuses. Tests are cases and stories\n\
                    of `tests/kernel`, suites of it (`calls`, `limits`), or policies that `kiln check` must refuse.\n\n\
                    | construct | how | by | since | proven by |\n|---|---|---|---|---|\n"
        .to_owned();
    for row in rows() {
        let listed = |names: &[String]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let how = match &row.lacking {
            Some(lacking) => format!("**{}**: {lacking}", row.how),
            None => row.how.clone(),
        };
        let (names, proven) = (listed(&row.names), listed(&row.proven));
        let _ = writeln!(page, "| {names} | {how} | {} | {} | {proven} |", row.by, row.since);
    }
    let file = root().join("docs/enforcement.md");
    if std::env::var_os("KILN_WRITE").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let is = fs::read_to_string(&file).unwrap_or_default();
    assert!(is == page, "out of step; KILN_WRITE=1 cargo test --test cli enforcement writes it");
}
