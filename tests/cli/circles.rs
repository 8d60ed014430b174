//! No circles among the files of a member: each file can be read, and moved, with only what it uses.
//!
//! A file uses another when it names something that is written there, by whatever path: what a module only shows from
//! elsewhere (`use`) is followed to where it is written. A `mod.rs` that shows what its children have (`pub use`) does
//! not use them; one that calls them does, and then they cannot use what is written in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folder of each member's files, and what its root is called in its crate.
const MEMBERS: &[(&str, &[&str])] = &[
    ("base/src", &[]),
    ("lang/src", &[]),
    ("derive/src", &[]),
    ("image/src", &[]),
    ("gate/src", &[]),
    ("pos/src", &[]),
    ("agent/src", &[]),
    ("cli", &["cli"]),
];

/// A module, or an item in one, from the crate's root.
type Name = Vec<String>;

/// One file.
struct File {
    path: PathBuf,
    /// Paths that it names, with whether it shows them to others.
    named: Vec<(bool, Name)>,
    /// What it has from elsewhere, by the last word.
    shown: BTreeMap<String, Name>,
    /// Modules that are only for tests.
    tests: Vec<String>,
}

/// The words and signs of a source text, without comments, strings and what follows the module of tests.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
        at += match rest {
            ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
            ['r', '"' | '#', ..] if raw_string(rest) > 0 => raw_string(rest),
            ['"', ..] => string(rest),
            ['\'', '\\', ..] => 2 + rest[2..].iter().take_while(|c| **c != '\'').count().max(1) + 1,
            ['\'', _, '\'', ..] => 3,
            [':', ':', ..] => {
                out.push("::".to_owned());
                2
            }
            [c, ..] if is_word(c) => {
                let word: String = rest.iter().take_while(|c| is_word(c)).collect();
                let length = word.chars().count();
                out.push(word);
                length
            }
            [c, ..] => {
                out.extend((!c.is_whitespace()).then(|| c.to_string()));
                1
            }
            [] => 1,
        };
    }
    // `#[cfg(test)] pub(…) mod tests {`
    let is_tests = |at: usize| {
        let word = out[at..].iter().position(|token| token == "mod" || token == ";").map_or(at, |word| at + word);
        out[at..].iter().take(7).map(String::as_str).collect::<String>() == "#[cfg(test)]"
            && out.get(word).is_some_and(|token| token == "mod")
            && out.get(word + 2).is_some_and(|token| token == "{")
            && !out[at..word].iter().any(|token| token == "fn" || token == "use" || token == "{")
    };
    let end = (0..out.len()).find(|at| is_tests(*at)).unwrap_or(out.len());
    out.truncate(end);
    out
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of a raw string that begins here, or 0.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = 2 + hashes;
    body + rest[body..].windows(end.len()).position(|w| w == end).unwrap_or(rest.len()) + end.len()
}

/// The paths of a `use`, from its tokens without `use` and `;`; each with the name under which it is known.
fn tree(prefix: &[String], tokens: &[String], out: &mut Vec<(Name, String)>) {
    let (mut depth, mut start) = (0, 0);
    let mut parts = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 0 => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let open = part.iter().position(|t| t == "{");
        let alias = part.iter().position(|t| t == "as");
        let words = part[..open.or(alias).unwrap_or(part.len())].iter().filter(|t| *t != "::").cloned();
        let mut path: Name = prefix.iter().cloned().chain(words).collect();
        match open {
            Some(open) => tree(&path, &part[open + 1..part.len() - 1], out),
            None => {
                path.pop_if(|last| last == "self" || last == "*");
                let known = alias.and_then(|at| part.get(at + 1)).or(path.last()).cloned();
                out.extend(known.map(|known| (path, known)));
            }
        }
    }
}

/// A path as it is named in a module, from the crate's root; `None` for what is of another crate.
fn absolute(module: &[String], path: &[String], is_child: impl Fn(&str) -> bool) -> Option<Name> {
    let supers = path.iter().take_while(|word| *word == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([module.get(..module.len().checked_sub(supers)?)?, &path[supers..]].concat()),
        child if is_child(child) => Some([module, path].concat()),
        _ => None,
    }
}

fn read(module: &[String], path: &Path) -> File {
    let tokens = tokens(&fs::read_to_string(path).expect("UTF-8 source"));
    let mut file = File { path: path.to_owned(), named: Vec::new(), shown: BTreeMap::new(), tests: Vec::new() };
    let mut children = BTreeSet::new();
    for at in 0..tokens.len().saturating_sub(2) {
        if tokens[at] == "mod" && tokens[at + 2] == ";" {
            children.insert(tokens[at + 1].as_str());
            let before = tokens[..at].iter().rev().take(11).rev().map(String::as_str).collect::<String>();
            if before.trim_end_matches("pub(crate)").trim_end_matches("pub").ends_with("#[cfg(test)]") {
                file.tests.push(tokens[at + 1].clone());
            }
        }
    }
    let is_child = |word: &str| children.contains(word);
    let mut at = 0;
    while at < tokens.len() {
        // `use<…>` says what a type captures.
        if tokens[at] == "use" && tokens.get(at + 1).is_none_or(|next| next != "<") {
            let end = at + tokens[at..].iter().position(|t| t == ";").expect("the end of a `use`");
            let shows = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
            let mut paths = Vec::new();
            tree(&[], &tokens[at + 1..end], &mut paths);
            for (path, known) in paths {
                if let Some(path) = absolute(module, &path, is_child) {
                    file.shown.insert(known, path.clone());
                    file.named.push((shows, path));
                }
            }
            at = end;
        } else if tokens.get(at + 1).is_some_and(|t| t == "::")
            && (at == 0 || !["::", "in"].contains(&tokens[at - 1].as_str()))
        {
            let mut path = vec![tokens[at].clone()];
            while at + 2 < tokens.len() && tokens[at + 1] == "::" {
                at += 2;
                path.push(tokens[at].clone());
            }
            file.named.extend(absolute(module, &path, is_child).map(|path| (false, path)));
        }
        at += 1;
    }
    file
}

fn collect(folder: &Path, module: &[String], out: &mut BTreeMap<Name, File>) {
    for entry in fs::read_dir(folder).expect("the source folder is there") {
        let path = entry.expect("a readable entry").path();
        let stem = path.file_stem().and_then(|s| s.to_str()).expect("a name in UTF-8").to_owned();
        let named = [module, std::slice::from_ref(&stem)].concat();
        if path.is_dir() {
            collect(&path, &named, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let module = if ["mod", "lib"].contains(&stem.as_str()) { module.to_vec() } else { named };
            out.insert(module.clone(), read(&module, &path));
        }
    }
}

/// Where what a path names is written.
fn home<'a>(files: &'a BTreeMap<Name, File>, path: &[String], depth: usize) -> Option<&'a Name> {
    let length = (0..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
    let (module, file) = files.get_key_value(&path[..length])?;
    match path.get(length).and_then(|item| file.shown.get(item)) {
        Some(from) if depth < 8 && from != path => home(files, &[from, &path[length + 1..]].concat(), depth + 1),
        _ => Some(module),
    }
}

/// Which files use which.
fn uses(files: &BTreeMap<Name, File>) -> BTreeMap<&Name, BTreeSet<&Name>> {
    let mut out = BTreeMap::new();
    for (module, file) in files {
        let used = file.named.iter().filter_map(|(shows, path)| {
            let home = home(files, path, 0)?;
            (home != module && !(*shows && home.starts_with(module))).then_some(home)
        });
        out.insert(module, used.collect());
    }
    out
}

/// All that a file uses, and what that uses, and so on.
fn reach<'a>(uses: &BTreeMap<&'a Name, BTreeSet<&'a Name>>, from: &'a Name) -> BTreeSet<&'a Name> {
    let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
    while let Some(next) = todo.pop() {
        todo.extend(uses.get(next).into_iter().flatten().filter(|used| seen.insert(**used)));
    }
    seen
}

/// The circles of a member: each with its files, and which of them uses which.
fn circles(folder: &Path, root: &[&str]) -> Vec<String> {
    let mut files = BTreeMap::new();
    let root: Name = root.iter().map(|word| (*word).to_owned()).collect();
    collect(folder, &root, &mut files);
    let tests: BTreeSet<Name> =
        files.iter().flat_map(|(m, f)| f.tests.iter().map(|t| [&m[..], std::slice::from_ref(t)].concat())).collect();
    files.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
    let uses = uses(&files);
    let reached: BTreeMap<&Name, BTreeSet<&Name>> = files.keys().map(|m| (m, reach(&uses, m))).collect();
    let mut told = BTreeSet::new();
    let mut out = Vec::new();
    for (module, all) in &reached {
        if !all.contains(*module) || !told.insert(*module) {
            continue;
        }
        let circle: Vec<&Name> = all.iter().copied().filter(|other| reached[other].contains(*module)).collect();
        told.extend(circle.iter().copied());
        let mut text = String::new();
        for one in &circle {
            let path = |name: &Name| {
                let path = files[name].path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&files[name].path);
                path.display().to_string()
            };
            let used: Vec<String> =
                circle.iter().filter(|other| uses[one].contains(**other)).map(|o| path(o)).collect();
            text += &format!("  {} uses {}\n", path(one), used.join(", "));
        }
        out.push(text);
    }
    out
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found: Vec<String> = MEMBERS.iter().flat_map(|(folder, root)| circles(&source.join(folder), root)).collect();
    assert!(found.is_empty(), "circles among files:\n{}", found.join("\n"));
    for member in fs::read_dir(&source).expect("the source folder is there") {
        let folder = member.expect("a readable entry").path().join("src");
        let named = |name: &str| folder.strip_prefix(&source).is_ok_and(|rest| rest == Path::new(name));
        let known = MEMBERS.iter().any(|(member, _)| named(member));
        assert!(!folder.exists() || known, "{} is not looked at", folder.display());
    }
}

/// The rules at the top of this file, on a small tree.
#[test]
fn a_circle_is_told_and_a_view_of_children_is_not_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("a written file");
    fs::create_dir(dir.path().join("m")).expect("a folder");
    write("lib.rs", "mod m; pub use m::{A, self};");
    write("m/mod.rs", "mod a; mod b; pub use a::A; #[cfg(test)] mod tests;");
    write("m/a.rs", "// use super::b::B;\npub struct A(&'static str); const T: &str = \"super::b::B\";");
    write("m/b.rs", "use super::A; pub struct B(A); #[cfg(test)] mod tests { use super::super::C; }");
    write("m/tests.rs", "use super::*;");
    assert_eq!(circles(dir.path(), &[]), Vec::<String>::new());
    // By the view of the parent, and in code.
    write("m/a.rs", "pub struct A; fn f() { crate::m::b::g() }");
    assert_eq!(circles(dir.path(), &[]).len(), 1);
    // A parent that calls its child, which uses what is written in the parent.
    write("m/a.rs", "pub struct A; fn f() -> super::C { super::C }");
    write("m/mod.rs", "mod a; mod b; pub use a::A; pub struct C; fn f() { a::f(); }");
    let told = circles(dir.path(), &[]).concat();
    assert!(told.contains("m/mod.rs uses ") && told.contains("m/a.rs") && !told.contains("m/b.rs"), "{told}");
}
