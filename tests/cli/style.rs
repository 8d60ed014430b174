//! What ARCHITECTURE.md says of the source, held true: who uses whom, where `unsafe` and I/O may be, no file forgotten.

use std::fs;
use std::path::{Path, PathBuf};

/// Member of the workspace, and which others its manifest may name. The compiler then holds the direction.
const MEMBERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("lang", &["base"]),
    ("derive", &["base"]),
    ("image", &["base", "lang"]),
    ("agent", &["base"]),
    ("gate", &["base"]),
    ("pos", &["base"]),
];

/// Member, and which others only its tests use.
const FOR_TESTS: &[(&str, &[&str])] = &[("derive", &["lang"])];

/// Module of a member that has several, and which of the same member it may use.
const MODULES: &[(&str, &[&str])] = &[
    ("base/src/model", &[]),
    ("base/src/abi", &["model", "window"]),
    ("base/src/event", &["abi", "model"]),
    ("base/src/bundle", &["model"]),
    ("base/src/window", &["model"]),
    ("base/src/wire", &["bundle", "event", "model"]),
    ("lang/src/pdl", &[]),
    ("lang/src/automata", &[]),
    ("lang/src/policy", &["pdl"]),
    ("lang/src/compile", &["policy", "automata"]),
    ("lang/src/seccomp", &["policy"]),
    ("lang/src/findings", &["compile", "pdl", "policy"]),
    ("derive/src/manifest", &[]),
    ("image/src/bake", &[]),
    ("image/src/prepare", &["bake"]),
    ("image/src/operator", &["bake"]),
    ("gate/src/engine", &[]),
    ("gate/src/run", &["engine"]),
    ("gate/src/enforce", &["engine", "run"]),
];

/// Module of a member, and a member that only other modules of the same member use.
const APART: &[(&str, &str)] = &[("image/src/bake", "kiln_lang"), ("image/src/operator", "kiln_lang")];

/// Modules and members that compute and never touch files, sockets or the environment. `derive/src/manifest` reads
/// the image for what stands beside it.
const PURE: &[&str] = &["base/src/model", "lang/src", "derive/src"];

/// Where `unsafe` may be.
const UNSAFE: &[&str] = &["agent/src", "base/src/abi"];

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the source folder is there") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Lines of code below a folder of `src` with their place; comments and what follows `#[cfg(test)]` left out.
pub(crate) fn lines(folder: &str) -> Vec<(String, String)> {
    let dir = root().join("src").join(folder);
    let mut files = Vec::new();
    sources(&dir, &mut files);
    files.sort();
    assert!(!files.is_empty(), "src/{folder} has no source");
    let mut out = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("UTF-8 source");
        let test_file = file.file_name().is_some_and(|n| n == "tests.rs")
            || file.components().any(|c| c.as_os_str() == "tests")
            || declared_for_tests(&file);
        if test_file {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("#[cfg(test)]")
                && !text.lines().nth(at + 1).is_some_and(|l| l.contains("pub"))
            {
                break;
            }
            let code = line.split("//").next().unwrap_or_default();
            if !code.trim().is_empty() {
                out.push((
                    format!("{}:{}", file.strip_prefix(root()).unwrap_or(&file).display(), at + 1),
                    code.to_owned(),
                ));
            }
        }
    }
    out
}

/// Whether the `mod.rs` or `lib.rs` beside a file declares it under `#[cfg(test)]`.
fn declared_for_tests(file: &Path) -> bool {
    let declaration = format!("mod {};", file.file_stem().and_then(|s| s.to_str()).unwrap_or_default());
    ["mod.rs", "lib.rs"].iter().any(|parent| {
        let parent = fs::read_to_string(file.with_file_name(parent)).unwrap_or_default();
        parent
            .lines()
            .zip(parent.lines().skip(1))
            .any(|(a, b)| a.trim() == "#[cfg(test)]" && b.trim().trim_start_matches("pub(crate) ") == declaration)
    })
}

/// The members that a member's manifest names in a table of dependencies.
fn named(manifest: &toml::Table, table: &str) -> Vec<String> {
    let table = manifest.get(table).and_then(toml::Value::as_table);
    table.into_iter().flatten().filter_map(|(name, _)| name.strip_prefix("kiln-").map(str::to_owned)).collect()
}

#[test]
fn members_depend_only_on_what_the_architecture_allows() {
    let mut found: Vec<String> = fs::read_dir(root().join("src"))
        .expect("the source folder is there")
        .map(|e| e.expect("a readable entry").path())
        .filter(|p| p.join("Cargo.toml").exists())
        .filter_map(|p| p.file_name().and_then(|n| n.to_str()).map(str::to_owned))
        .collect();
    found.sort();
    let mut listed: Vec<&str> = MEMBERS.iter().map(|(m, _)| *m).collect();
    listed.sort_unstable();
    assert_eq!(found, listed, "the members below src/");
    for (member, allowed) in MEMBERS {
        let text = fs::read_to_string(root().join("src").join(member).join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("TOML");
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for other in named(&manifest, table) {
                let for_tests =
                    table == "dev-dependencies" && FOR_TESTS.iter().any(|(m, o)| m == member && o.contains(&&*other));
                assert!(for_tests || allowed.contains(&other.as_str()), "{member} names {other} in [{table}]");
            }
        }
    }
}

#[test]
fn modules_use_only_what_the_architecture_allows() {
    let mut wrong = Vec::new();
    for (folder, allowed) in MODULES {
        let (member, module) = folder.split_once("/src/").expect("a member and its module");
        let siblings: Vec<&str> =
            MODULES.iter().filter_map(|(f, _)| f.strip_prefix(member)?.strip_prefix("/src/")).collect();
        for (place, code) in lines(folder) {
            for (at, _) in code.match_indices("crate::") {
                let rest = &code[at + 7..];
                let used: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let ours = siblings.contains(&used.as_str()) || member == "derive";
                if ours && used != module && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{place}: {module} uses {used}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_modules_that_need_a_member_use_it() {
    let mut wrong = Vec::new();
    for (folder, member) in APART {
        wrong.extend(lines(folder).into_iter().filter(|(_, code)| code.contains(member)).map(|(place, _)| place));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stays_with_the_kernel_and_its_layout() {
    let mut wrong = Vec::new();
    for (member, _) in MEMBERS {
        for (place, code) in lines(&format!("{member}/src")) {
            if UNSAFE.iter().any(|f| place.starts_with(&format!("src/{f}/"))) {
                continue;
            }
            if code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == "unsafe") {
                wrong.push(place);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_do_no_input_or_output() {
    let mut wrong = Vec::new();
    for folder in PURE {
        for (place, code) in lines(folder) {
            if place.starts_with("src/derive/src/manifest/") {
                continue;
            }
            if ["std::fs", "std::env", "std::process", "TcpStream", "println!", "eprintln!"]
                .iter()
                .any(|w| code.contains(w))
            {
                wrong.push(format!("{place}: {}", code.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Another database can take SQLite's place only while nothing above the store knows it, and the store nothing of HTTP.
#[test]
fn the_store_of_the_pos_keeps_sql_and_http_apart() {
    let mut wrong = Vec::new();
    for (place, code) in lines("pos/src") {
        let not_here: &[&str] = match place.strip_prefix("src/pos/src/") {
            Some(file) if file.starts_with("store/sqlite/") => &["crate::problem", "crate::api", "crate::hub", "axum"],
            Some(file) if file.starts_with("store/") => {
                &["crate::problem", "crate::api", "crate::hub", "axum", "rusqlite"]
            }
            _ => &["rusqlite"],
        };
        wrong.extend(not_here.iter().filter(|word| code.contains(*word)).map(|word| format!("{place}: {word}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn anyhow_stays_with_the_commands() {
    for (member, _) in MEMBERS {
        let manifest = fs::read_to_string(root().join("src").join(member).join("Cargo.toml")).expect("a manifest");
        assert!(!manifest.contains("anyhow"), "{member} names anyhow");
    }
}

#[test]
fn every_test_module_is_named() {
    let dir = root().join("tests/cli");
    let main = fs::read_to_string(dir.join("main.rs")).expect("the test binary's root");
    for entry in fs::read_dir(&dir).expect("the folder of command tests") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
        let is_module = path.extension().is_some_and(|e| e == "rs") || path.join("mod.rs").exists();
        if is_module && name != "main" {
            assert!(main.contains(&format!("mod {name};")), "tests/cli/{name} is not in main.rs and never runs");
        }
    }
}

#[test]
fn every_kernel_program_and_header_names_its_licence() {
    for dir in ["bpf", "bpf/include"] {
        for entry in fs::read_dir(root().join(dir)).expect("the BPF folder") {
            let path = entry.expect("a readable entry").path();
            if path.extension().is_some_and(|e| e == "c" || e == "h") {
                let text = fs::read_to_string(&path).expect("UTF-8 source");
                assert!(text.starts_with("/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */"), "{path:?}");
            }
        }
    }
}

/// The pages that people read.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/attacks", "tests/kernel"] {
        for entry in fs::read_dir(root().join(folder)).expect("the folder is there") {
            let path = entry.expect("a readable entry").path();
            if path.extension().is_some_and(|e| e == "md") && !path.ends_with("docs/coverage.md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

/// A page that names a file of the repository names one that is there. The change log tells of files as they were;
/// capitals stand for a name of the reader's.
#[test]
fn files_that_pages_name_are_there() {
    let mut missing = Vec::new();
    for page in pages().into_iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        let text = fs::read_to_string(&page).expect("UTF-8 text");
        for named in text.split('`').skip(1).step_by(2) {
            let ours = ["src/", "tests/", "bpf/", "docs/", "scripts/", "benches/", "fuzz/"];
            let plain = named.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/._-".contains(&b));
            if plain && ours.iter().any(|folder| named.starts_with(folder)) && !root().join(named).exists() {
                missing.push(format!("{}: {named}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Prose is read in a terminal too. Tables, code and what is generated are as wide as they are.
#[test]
fn prose_keeps_to_a_hundred_columns() {
    let mut wide = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("UTF-8 text");
        let mut code = false;
        for (at, line) in text.lines().enumerate() {
            let start = line.trim_start();
            code ^= start.starts_with("```");
            if !code && !start.starts_with('|') && line.chars().count() > 100 {
                wide.push(format!("{}:{}", page.display(), at + 1));
            }
        }
    }
    assert!(wide.is_empty(), "wider than 100 columns: {wide:#?}");
}
