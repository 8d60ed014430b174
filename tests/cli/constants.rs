//! Every number that stands in the kernel programs is in the list of docs/attacks/detours.md: what a kernel may move is
//! read from it, not written down.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("the kernel programs").map(|entry| entry.expect("a readable entry").path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "c" || e == "h")).collect()
}

/// The names of numbers: `#define NAME VALUE`. Our own begin with KILN_.
fn numbers() -> BTreeSet<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bpf");
    let mut names = BTreeSet::new();
    for path in sources(&root).into_iter().chain(sources(&root.join("include"))) {
        let text = fs::read_to_string(path).expect("C source");
        for line in text.lines().filter_map(|line| line.strip_prefix("#define ")) {
            let Some((name, _)) = line.split_once(' ') else { continue };
            let ours = name.starts_with("KILN_") || ["true", "false", "NULL"].contains(&name) || name.contains('(');
            if !ours {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn each_number_of_the_kernel_programs_is_accounted_for() {
    let page = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/attacks/detours.md"))
        .expect("docs/attacks/detours.md");
    let (_, list) = page.split_once("## Numbers").expect("the list of numbers");
    let missing: Vec<String> = numbers().into_iter().filter(|name| !list.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "read them from the kernel, or say in docs/attacks/detours.md why not: {missing:?}");
}
