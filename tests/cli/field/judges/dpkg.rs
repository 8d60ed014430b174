//! dpkg as the judge of its own database: the packages that it names for a path are those that Kiln names.

use std::fs;
use std::process::Command;

use kiln::manifest::Root;
use kiln::manifest::dpkg::Database;

use super::super::{build, head};
use super::run;

/// The databases: each `.dpkg` file of the corpus is one, its files below /var/lib/dpkg, with the paths that both are asked
/// for. `path: REAL = ASKED` is a path that dpkg knows by another name: it is diverted, or a folder above it is a link.
/// `owner: PATH NAME` says whose a path is that dpkg-query names by what it was before it was diverted.
pub fn databases() -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir("tests/corpus/field").unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "dpkg"));
    files.sort();
    files.into_iter().map(|p| fs::read_to_string(p).unwrap()).collect()
}

/// The packages that dpkg names for a path are those that Kiln names, diversions and odd states among them.
#[test]
fn dpkg_names_the_same_owners() {
    let mut wrong = String::new();
    for text in databases() {
        let kind = head(&text).find(|(k, _)| *k == "kind").unwrap().1;
        let below: String = text
            .lines()
            .skip_while(|l| !l.starts_with("-- "))
            .map(|l| l.replacen("-- ", "-- var/lib/dpkg/", usize::from(l.starts_with("-- "))) + "\n")
            .collect();
        let dir = build(&format!("-- var/lib/dpkg/info/format --\n1\n-- var/lib/dpkg/updates/ --\n{below}"));
        let db = Database::read(&Root::open(dir.path()).unwrap()).unwrap();
        let admin = format!("--admindir={}", dir.path().join("var/lib/dpkg").display());
        for (_, path) in head(&text).filter(|(k, _)| *k == "path") {
            let (real, asked) = path.split_once(" = ").unwrap_or((path, path));
            let Some(output) = run(Command::new("dpkg-query").arg(&admin).args(["-S", asked])) else { return };
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let theirs = said
                .lines()
                .filter(|l| {
                    !l.starts_with("diversion") && !l.starts_with("local diversion") && !l.starts_with("dpkg-query:")
                })
                .find_map(|l| l.split([':', ',']).next());
            // A package that is removed has no files but its configuration.
            let theirs = theirs.filter(|o| *o != "gone" || !asked.starts_with("/etc/"));
            let ours = db.owner(real).map(|p| p.name.as_str());
            if ours != theirs {
                wrong += &format!("{kind}: {path}: {ours:?}, and dpkg says {said}\n");
            }
        }
        for (_, owner) in head(&text).filter(|(k, _)| *k == "owner") {
            let (path, name) = owner.split_once(' ').unwrap();
            let ours = db.owner(path).map_or("nobody", |p| p.name.as_str());
            if ours != name {
                wrong += &format!("{kind}: {path} is {ours}'s\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
