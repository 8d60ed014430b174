//! The order of the agent's wings, as `src/agent/src/lib.rs` draws it: what is below can be read, tested and changed
//! without what is above. That no files use each other in a circle, `circles.rs` holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::style::{lines, root};

/// The modules of the agent's root, each before those that may use it.
const WINGS: &[&str] =
    &["unknown", "error", "machine", "bpf", "config", "label", "load", "limit", "report", "update", "pos", "commands"];

/// The paths behind each `crate::` of a file's code, lists taken apart.
fn used(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        expand("", &code[at + "crate::".len()..], &mut found);
    }
    found
}

/// Reads one path, or a list in braces, that begins `text`; returns what stands behind it.
fn expand<'a>(before: &str, text: &'a str, found: &mut Vec<String>) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    let path = format!("{before}{path}");
    let Some(mut list) = rest.strip_prefix('{').filter(|_| path.is_empty() || path.ends_with("::")) else {
        found.push(path.trim_end_matches("::").to_owned());
        return rest;
    };
    loop {
        list = list.trim_start();
        if let Some(rest) = list.strip_prefix('}') {
            return rest;
        }
        list = expand(&path, list, found).trim_start();
        list = list.strip_prefix(',').unwrap_or(list);
        if list.is_empty() {
            return list;
        }
    }
}

/// Each file of the agent, as the path of its module, with its code.
fn files() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (place, code) in lines("agent/src") {
        let file = place.rsplit_once(':').expect("a line").0;
        let module = file.strip_prefix("src/agent/src/").expect("a file of the agent").trim_end_matches(".rs");
        let module = module.strip_suffix("/mod").unwrap_or(module).replace('/', "::");
        let text = files.entry(module).or_default();
        text.push_str(&code);
        text.push('\n');
    }
    files.retain(|module, _| module != "lib" && !module.starts_with("bin::"));
    files
}

/// Which files each file uses. One that gives on what another has (`pub use`) uses that one.
fn edges(files: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<&str>> {
    let file_of = |path: &str| {
        let mut path = path;
        loop {
            if let Some((module, _)) = files.get_key_value(path) {
                return Some(module.as_str());
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, code) in files {
        let given_on = code
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub use "))
            .filter(|path| !path.starts_with("crate::") && !path.starts_with("kiln_base"));
        let mut paths = used(code);
        for path in given_on {
            expand(&format!("{module}::"), path, &mut paths);
        }
        let to = paths.iter().filter_map(|path| file_of(path)).filter(|other| other != module);
        edges.entry(module).or_default().extend(to);
    }
    edges
}

#[test]
fn each_wing_uses_only_what_is_below_it() {
    let text = fs::read_to_string(root().join("src/agent/src/lib.rs")).expect("the root of the agent");
    let declared: BTreeSet<&str> =
        text.lines().filter_map(|l| l.strip_prefix("pub mod ").or(l.strip_prefix("mod "))?.strip_suffix(';')).collect();
    assert_eq!(declared, WINGS.iter().copied().collect(), "the modules of the agent");
    let rank = |module: &str| {
        let wing = module.split("::").next().unwrap_or(module);
        WINGS.iter().position(|w| *w == wing).unwrap_or_else(|| panic!("{module} is in no wing"))
    };
    let files = files();
    let mut wrong = Vec::new();
    for (module, to) in edges(&files) {
        wrong
            .extend(to.iter().filter(|other| rank(other) > rank(module)).map(|other| format!("{module} uses {other}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `update::flip` asks for the record that names the generation; nothing goes round it.
#[test]
fn one_place_makes_a_generation_active() {
    let places: Vec<String> = lines("agent/src")
        .into_iter()
        .filter(|(_, code)| code.contains("state.flip(") || code.contains("Named("))
        .map(|(place, _)| place.rsplit_once(':').expect("a line").0.to_owned())
        .collect();
    let records = "src/agent/src/update/records.rs";
    assert_eq!(places, ["src/agent/src/update/flip.rs", records, records], "the flip, and who may ask for it");
}

/// The graph is read off paths that begin at the root.
#[test]
fn files_of_the_agent_name_each_other_from_the_root() {
    let wrong: Vec<String> =
        lines("agent/src").into_iter().filter(|(_, code)| code.contains("super::")).map(|(place, _)| place).collect();
    assert!(wrong.is_empty(), "write crate::, not super::: {}", wrong.join("\n"));
}

#[test]
fn lists_of_paths_are_taken_apart() {
    let code =
        "use crate::{bpf, load::{keep, own::{self, tell}}};\nfn f(x: crate::error::Result<()>) { crate::a::b() }";
    let paths = ["bpf", "load::keep", "load::own::self", "load::own::tell", "error::Result", "a::b"];
    assert_eq!(used(code), paths);
}
