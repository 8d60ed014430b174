//! What ARCHITECTURE.md says of the source, held true: who uses whom, where `unsafe` and I/O may be, no file forgotten.

use std::fs;
use std::path::{Path, PathBuf};

/// Module, and which of ours it may use.
const USES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("automata", &["model"]),
    ("manifest", &["model"]),
    ("pdl", &["model"]),
    ("policy", &["pdl", "automata", "model"]),
    ("derive", &["manifest", "policy", "model"]),
    ("abi", &["model"]),
    ("compile", &["policy", "automata", "abi", "model"]),
    ("bundle", &["abi", "model"]),
    ("bake", &["bundle", "abi", "model", "manifest"]),
    ("wire", &["bundle", "event", "model"]),
    ("registry", &["wire", "bundle", "abi", "model", "event", "bake", "manifest"]),
    ("event", &["abi", "model"]),
    ("agent", &["wire", "bundle", "event", "abi", "model"]),
    ("gate", &["event", "model"]),
    ("pos", &["wire", "bundle", "event", "abi", "gate", "policy", "model"]),
];

/// Modules that compute and never touch files, sockets or the environment.
const PURE: &[&str] = &["model", "automata", "pdl", "derive", "policy"];

fn root() -> PathBuf {
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

/// Lines of code of a module with their place; comments and what follows `#[cfg(test)]` left out.
fn lines(module: &str) -> Vec<(String, String)> {
    let dir = root().join("src").join(module);
    let mut files = Vec::new();
    sources(&dir, &mut files);
    files.sort();
    assert!(!files.is_empty(), "src/{module} has no source");
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

/// Whether the `mod.rs` beside a file declares it under `#[cfg(test)]`.
fn declared_for_tests(file: &Path) -> bool {
    let declaration = format!("mod {};", file.file_stem().and_then(|s| s.to_str()).unwrap_or_default());
    let parent = fs::read_to_string(file.with_file_name("mod.rs")).unwrap_or_default();
    parent.lines().zip(parent.lines().skip(1)).any(|(a, b)| a.trim() == "#[cfg(test)]" && b.trim() == declaration)
}

#[test]
fn modules_use_only_what_the_architecture_allows() {
    let mut wrong = Vec::new();
    for (module, allowed) in USES {
        for (place, code) in lines(module) {
            for (at, _) in code.match_indices("crate::") {
                let rest = &code[at + 7..];
                let used: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let ours = USES.iter().any(|(m, _)| *m == used) || used == "cli";
                if ours && used != *module && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{place}: {module} uses {used}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stays_with_the_kernel_and_its_layout() {
    let allowed = ["agent", "abi"];
    let mut wrong = Vec::new();
    for (module, _) in USES.iter().filter(|(m, _)| !allowed.contains(m)) {
        for (place, code) in lines(module) {
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
    for module in PURE {
        for (place, code) in lines(module) {
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

#[test]
fn anyhow_and_printing_stay_with_the_commands() {
    let mut wrong = Vec::new();
    for (module, _) in USES {
        for (place, code) in lines(module) {
            if code.contains("anyhow") {
                wrong.push(place);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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

/// Prose is read in a terminal too. Tables, code and what is generated are as wide as they are.
#[test]
fn prose_keeps_to_a_hundred_columns() {
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
    let mut wide = Vec::new();
    for page in pages {
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
