//! A unit with its drop-ins, as the system manager of the image would load it (systemd.unit(5), "Unit File Load Path").

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::index::Index;
use super::name::{DIRECTORIES, instance_of, is_unit_name};
use super::parse::{Entry, parse};
use super::words::{Escapes, words};
use crate::manifest::root::{Kind, Root, RootError};
use crate::manifest::{Note, Origin};

/// Bytes of one unit file.
const MAX_FILE: u64 = 1 << 20;

/// A loaded unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    /// Name, with suffix and instance.
    pub name: String,
    /// The unit file, links resolved.
    pub fragment: String,
    /// Drop-ins in the order of reading, links resolved.
    pub drop_ins: Vec<String>,
    /// Every assignment, in the order of reading.
    pub entries: Vec<Entry>,
}

/// Why a unit cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// No such file in any unit directory.
    #[error("the image has no unit `{0}`; `kiln derive` without --unit lists those that it has")]
    Missing(String),
    /// Not a unit name.
    #[error("`{0}` is not a unit name; one looks like `nginx.service` or `getty@tty1.service`")]
    Name(String),
    /// A link to /dev/null, or an empty file.
    #[error("the unit `{name}` is masked by {path}")]
    Masked {
        /// Its name.
        name: String,
        /// What masks it.
        path: String,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    Root(#[from] RootError),
}

impl Unit {
    /// Loads a unit with its drop-ins. An alias gives the unit that it is another name of.
    pub fn load(root: &Root, name: &str, notes: &mut Vec<Note>) -> Result<Unit, UnitError> {
        if !is_unit_name(name) {
            return Err(UnitError::Name(name.chars().take(100).collect()));
        }
        let index = Index::of(root);
        let main = index.main(name);
        let path = index.fragment(&main).ok_or_else(|| UnitError::Missing(name.to_owned()))?;
        let resolved = root.resolve(&path)?;
        if resolved.path == "/dev/null" {
            return Err(UnitError::Masked { name: name.to_owned(), path });
        }
        let text = root.text(&resolved.path, MAX_FILE)?;
        if text.is_empty() {
            return Err(UnitError::Masked { name: name.to_owned(), path });
        }
        if main != name {
            let text = format!("`{name}` is another name of `{main}`, and the profile is for that");
            notes.push(Note::new(Origin::line(&resolved.path, 1), text));
        }
        let mut names = vec![main.clone()];
        names.extend(index.aliases(&main));
        let mut unit = Unit { name: main, fragment: resolved.path.clone(), drop_ins: Vec::new(), entries: Vec::new() };
        unit.add(&resolved.path, &text, notes);
        for path in drop_ins(root, &names)? {
            match root.text(&path, MAX_FILE) {
                Ok(text) => unit.add(&path, &text, notes),
                // systemd passes over it as well.
                Err(e) => {
                    notes.push(Note::new(Origin::line(&path, 1), format!("the drop-in is left out: {e}")));
                    continue;
                }
            }
            unit.drop_ins.push(path);
        }
        Ok(unit)
    }

    fn add(&mut self, path: &str, text: &str, notes: &mut Vec<Note>) {
        let parsed = parse(path, text);
        let placed = |e: Entry| Entry { value: placed(e.value, &self.fragment), ..e };
        let entries: Vec<Entry> = parsed.entries.into_iter().map(placed).collect();
        self.entries.extend(entries);
        notes.extend(parsed.ignored.into_iter().map(|(origin, why)| Note::new(origin, format!("ignored: {why}"))));
    }

    /// The assignments of a list setting that count: an empty one drops those before it.
    pub fn list(&self, section: &str, key: &str) -> Vec<&Entry> {
        let mut out = Vec::new();
        for e in self.entries.iter().filter(|e| e.section == section && e.key == key) {
            if e.value.is_empty() { out.clear() } else { out.push(e) }
        }
        out
    }

    /// The words of list settings that count, quotes undone, over several keys that mean the same.
    pub fn words(&self, section: &str, keys: &[&str], notes: &mut Vec<Note>) -> Vec<(String, &Origin)> {
        let mut out = Vec::new();
        for e in self.entries.iter().filter(|e| e.section == section && keys.contains(&e.key.as_str())) {
            if e.value.is_empty() {
                out.clear();
                continue;
            }
            match words(&e.value, Escapes::Plain) {
                Ok(list) => out.extend(list.into_iter().map(|w| (w.text, &e.origin))),
                Err(why) => notes.push(Note::new(e.origin.clone(), format!("{}= is left out: {why}", e.key))),
            }
        }
        out
    }

    /// The assignment of a single-valued setting that counts: the last, unless it is empty.
    pub fn last(&self, section: &str, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|e| e.section == section && e.key == key).filter(|e| !e.value.is_empty())
    }

    /// A boolean setting, with where it is set; absent or not a boolean is `None`.
    pub fn flag(&self, section: &str, key: &str) -> Option<(bool, &Origin)> {
        let e = self.last(section, key)?;
        match e.value.to_ascii_lowercase().as_str() {
            "1" | "yes" | "y" | "true" | "t" | "on" => Some((true, &e.origin)),
            "0" | "no" | "n" | "false" | "f" | "off" => Some((false, &e.origin)),
            _ => None,
        }
    }
}

/// `%y` and `%Y` of systemd.unit(5), the unit's file and its folder, which no later reader of a setting knows.
fn placed(value: String, fragment: &str) -> String {
    if !value.contains("%y") && !value.contains("%Y") {
        return value;
    }
    let folder = fragment.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut out = String::with_capacity(value.len() + fragment.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '%' { chars.next() } else { None }) {
            ('%', Some('y')) => out.push_str(&fragment.replace('%', "%%")),
            ('%', Some('Y')) => out.push_str(&folder.replace('%', "%%")),
            (c, next) => {
                out.push(c);
                out.extend(next);
            }
        }
    }
    out
}

/// Drop-in files of a unit in the order in which systemd reads them: by file name over all folders. Of two with the same
/// name that counts which is found first: by the unit's names, its own before its aliases; for each by directory; there
/// its own folder, its template's, and those of its prefixes; at last the folders of the unit type
/// (unit_file_find_dropin_paths() of systemd).
fn drop_ins(root: &Root, names: &[String]) -> Result<Vec<String>, RootError> {
    let mut folders: Vec<String> = Vec::new();
    for name in names {
        let own = folders_of(name);
        folders.extend(DIRECTORIES.iter().flat_map(|d| own.iter().map(move |f| format!("{d}/{f}"))));
    }
    if let Some((_, suffix)) = names.first().and_then(|n| n.rsplit_once('.')) {
        folders.extend(DIRECTORIES.iter().map(|d| format!("{d}/{suffix}.d")));
    }
    let mut chosen: BTreeMap<String, String> = BTreeMap::new();
    for folder in folders.into_iter().filter(|f| Index::of(root).has_drop_ins(f)) {
        let entries = match root.entries(&folder) {
            Err(e) if e.is_not_found() => continue,
            other => other?,
        };
        for (file, _) in entries.into_iter().filter(|(f, _)| f.ends_with(".conf") && !f.starts_with('.')) {
            let path = format!("{folder}/{file}");
            chosen.entry(file).or_insert(path);
        }
    }
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    for path in chosen.into_values() {
        let resolved = root.resolve(&path)?;
        // A link to /dev/null masks the drop-in of that name.
        if resolved.kind == Some(Kind::File) && seen.insert(resolved.path.clone()) {
            out.push(resolved.path);
        }
    }
    Ok(out)
}

/// `foo-bar@x.service.d`, `foo-bar@.service.d`, `foo-.service.d`.
fn folders_of(name: &str) -> Vec<String> {
    let mut out = vec![format!("{name}.d")];
    out.extend(instance_of(name).map(|(template, _)| format!("{template}.d")));
    if let Some((stem, suffix)) = name.rsplit_once('.') {
        let prefix = stem.split('@').next().unwrap_or_default();
        // The last dash is none where nothing stands behind it: that is the whole name.
        let cuts = prefix.match_indices('-').map(|(i, _)| &prefix[..=i]).filter(|cut| *cut != stem);
        out.extend(cuts.collect::<Vec<_>>().into_iter().rev().map(|cut| format!("{cut}.{suffix}.d")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    #[test]
    fn the_unit_file_and_its_folder_are_known() {
        assert_eq!(placed("%y %Y/x %%y %h%".to_owned(), "/u/s/a.service"), "/u/s/a.service /u/s/x %%y %h%");
        assert_eq!(placed("%Y".to_owned(), "/u%n/a.service"), "/u%%n");
        let unit = "[Service]\nExecStart=%Y/../run --unit %y\n";
        let (_dir, root) = image(&[
            ("usr/lib/systemd/system/a.service", unit),
            ("etc/systemd/system/a.service.d/x.conf", "[Service]\nEnvironmentFile=%Y/env\n"),
        ]);
        let unit = Unit::load(&root, "a.service", &mut Vec::new()).unwrap();
        let value = |key| unit.last("Service", key).unwrap().value.clone();
        assert_eq!(value("ExecStart"), "/usr/lib/systemd/system/../run --unit /usr/lib/systemd/system/a.service");
        assert_eq!(value("EnvironmentFile"), "/usr/lib/systemd/system/env");
    }

    #[test]
    fn drop_ins_by_name_over_directories() {
        let (_dir, root) = image(&[
            ("usr/lib/systemd/system/web-front.service", "[Service]\nExecStart=/bin/a\nUser=one\nPrivateTmp=no\n"),
            ("usr/lib/systemd/system/web-front.service.d/20-x.conf", "[Service]\nUser=vendor\n"),
            ("etc/systemd/system/web-front.service.d/20-x.conf", "[Service]\nExecStart=\nExecStart=/bin/b\n"),
            ("etc/systemd/system/web-front.service.d/30-mask.conf", "-> /dev/null"),
            ("usr/lib/systemd/system/web-front.service.d/30-mask.conf", "[Service]\nUser=masked\n"),
            ("etc/systemd/system/web-.service.d/10-y.conf", "[Service]\nPrivateTmp=yes\n"),
            ("usr/lib/systemd/system/service.d/40-all.conf", "[Service]\nGroup=all\n"),
        ]);
        let mut notes = Vec::new();
        let unit = Unit::load(&root, "web-front.service", &mut notes).unwrap();
        assert_eq!(
            unit.drop_ins,
            [
                "/etc/systemd/system/web-.service.d/10-y.conf",
                "/etc/systemd/system/web-front.service.d/20-x.conf",
                "/usr/lib/systemd/system/service.d/40-all.conf"
            ]
        );
        assert_eq!(unit.list("Service", "ExecStart").iter().map(|e| e.value.as_str()).collect::<Vec<_>>(), ["/bin/b"]);
        assert_eq!(unit.last("Service", "User").unwrap().value, "one");
        assert!(unit.flag("Service", "PrivateTmp").unwrap().0);
        assert!(notes.is_empty());
    }

    #[test]
    fn aliases_templates_and_equal_names() {
        let (_dir, root) = image(&[
            ("usr/lib/systemd/system/foo-app.service", "[Service]\nExecStart=/bin/a\n"),
            ("etc/systemd/system/ali-as.service", "-> /usr/lib/systemd/system/foo-app.service"),
            ("lib", "-> usr/lib"),
            ("etc/systemd/system/service.d/10.conf", "[Service]\nA=type\n"),
            ("usr/lib/systemd/system/foo-app.service.d/10.conf", "[Service]\nA=name\n"),
            ("etc/systemd/system/foo-.service.d/11.conf", "[Service]\nB=prefix\n"),
            ("usr/lib/systemd/system/foo-app.service.d/11.conf", "[Service]\nB=name\n"),
            ("etc/systemd/system/ali-as.service.d/12.conf", "[Service]\nC=alias\n"),
            ("usr/lib/systemd/system/foo-app.service.d/12.conf", "[Service]\nC=name\n"),
            ("usr/lib/systemd/system/ali-.service.d/13.conf", "[Service]\nD=alias\n"),
            ("usr/lib/systemd/system/new@.service", "[Service]\nExecStart=/bin/a %i\n"),
            ("etc/systemd/system/old@.service", "-> /lib/systemd/system/new@.service"),
            ("etc/systemd/system/old@.service.d/1.conf", "[Service]\nE=old\n"),
            ("etc/systemd/system/new-x@y-z.service", "-> /lib/systemd/system/new@.service"),
        ]);
        let load = |n: &str| Unit::load(&root, n, &mut Vec::new()).unwrap();
        let unit = load("ali-as.service");
        assert_eq!(unit.name, "foo-app.service");
        let value = |key: &str| unit.last("Service", key).unwrap().value.clone();
        assert_eq!(["A", "B", "C", "D"].map(value), ["name", "prefix", "name", "alias"]);
        let unit = load("old@q.service");
        assert_eq!((unit.name.as_str(), unit.last("Service", "E").unwrap().value.as_str()), ("new@q.service", "old"));
        assert_eq!(folders_of("a-b@c-d.service"), ["a-b@c-d.service.d", "a-b@.service.d", "a-.service.d"]);
    }

    #[test]
    fn masked_missing_templates_and_bad_names() {
        let (_dir, root) = image(&[
            ("etc/systemd/system/gone.service", "-> /dev/null"),
            ("usr/lib/systemd/system/gone.service", "[Service]\nExecStart=/bin/a\n"),
            ("usr/lib/systemd/system/empty.service", ""),
            ("usr/lib/systemd/system/t@.service", "[Service]\nExecStart=/bin/a %i\n"),
        ]);
        let load = |n: &str| Unit::load(&root, n, &mut Vec::new());
        assert!(matches!(load("gone.service"), Err(UnitError::Masked { .. })));
        assert!(matches!(load("empty.service"), Err(UnitError::Masked { .. })));
        assert!(matches!(load("none.service"), Err(UnitError::Missing(_))));
        assert!(matches!(load("../x.service"), Err(UnitError::Name(_))));
        assert!(load("t@x.service").unwrap().fragment.ends_with("t@.service"));
    }

    #[test]
    fn an_alias_loads_the_unit_itself() {
        let (_dir, root) = image(&[
            ("usr/lib/systemd/system/web.service", "[Service]\nExecStart=/bin/a\n"),
            ("usr/lib/systemd/system/t@.service", "[Service]\nExecStart=/bin/a\n"),
            ("etc/systemd/system/www.service", "-> /usr/lib/systemd/system/web.service"),
            ("etc/systemd/system/http.service", "-> www.service"),
            ("etc/systemd/system/t@one.service", "-> /usr/lib/systemd/system/t@.service"),
            ("etc/systemd/system/u@.service", "-> t@.service"),
            ("etc/systemd/system/default.service", "-> t@two.service"),
            ("etc/systemd/system/linked.service", "-> /opt/x/linked.service"),
            ("opt/x/linked.service", "[Service]\nExecStart=/bin/a\n"),
            ("etc/systemd/system/round.service", "-> round2.service"),
            ("etc/systemd/system/round2.service", "-> round.service"),
        ]);
        let name = |n: &str| Unit::load(&root, n, &mut Vec::new()).map(|u| u.name);
        for (asked, own) in [
            ("web.service", "web.service"),
            ("www.service", "web.service"),
            ("http.service", "web.service"),
            ("t@one.service", "t@one.service"),
            ("u@three.service", "t@three.service"),
            ("u@.service", "t@.service"),
            ("default.service", "t@two.service"),
            ("linked.service", "linked.service"),
        ] {
            assert_eq!(name(asked).unwrap(), own, "{asked}");
        }
        assert!(name("round.service").is_err());
    }
}
