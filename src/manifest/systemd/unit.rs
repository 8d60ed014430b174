//! A unit with its drop-ins, as the system manager of the image would load it (systemd.unit(5), "Unit File Load Path").

use std::collections::BTreeMap;

use serde::Serialize;

use super::parse::{Entry, parse};
use crate::manifest::root::{Kind, Root, RootError};
use crate::manifest::{Note, Origin};

/// Where units are, in the order of precedence. Those that a running machine makes (/run) are no part of an image.
pub const DIRECTORIES: [&str; 4] =
    ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

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
    #[error("`{0}` is no unit name; one looks like `nginx.service` or `getty@tty1.service`")]
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

/// Links from alias to alias.
const MAX_ALIASES: usize = 8;

/// What stands under a name.
enum Found {
    Unit(Box<Unit>),
    Alias(String),
}

/// Whether the text can name a unit (unit_name_is_valid() of systemd).
pub fn is_unit_name(name: &str) -> bool {
    const SUFFIXES: [&str; 11] =
        ["service", "socket", "target", "timer", "path", "mount", "automount", "swap", "device", "slice", "scope"];
    name.len() <= 255
        && name.rsplit_once('.').is_some_and(|(stem, suffix)| !stem.is_empty() && SUFFIXES.contains(&suffix))
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
}

/// The template of an instance: `getty@.service` of `getty@tty1.service`. A template is its own.
pub fn template_of(name: &str) -> Option<String> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let (prefix, _) = stem.split_once('@')?;
    Some(format!("{prefix}@.{suffix}"))
}

/// Whether the name is that of a template, which runs nothing itself.
pub fn is_template(name: &str) -> bool {
    template_of(name).is_some_and(|t| t == name)
}

/// The unit for which a link of another name stands: `ssh.service` of `sshd.service -> ssh.service`. A link from an
/// instance to its template, or from another folder to the same name, is no alias.
fn alias_of(name: &str, target: &str) -> Option<String> {
    let last = target.rsplit('/').next().unwrap_or_default();
    let suffix = |n: &str| n.rsplit_once('.').map(|(_, s)| s.to_owned());
    if last == name || !is_unit_name(last) || suffix(last) != suffix(name) {
        return None;
    }
    match template_of(name).filter(|t| t != name) {
        Some(own) if own == last => None,
        // alias@x.service -> real@.service is real@x.service.
        Some(_) if is_template(last) => {
            let instance = name.split_once('@')?.1.rsplit_once('.')?.0;
            Some(last.replacen("@.", &format!("@{instance}."), 1))
        }
        _ => Some(last.to_owned()),
    }
}

impl Unit {
    /// Loads a unit with its drop-ins, by its name or an alias; `name` of the result is its own name, which is what its
    /// cgroup is called.
    pub fn load(root: &Root, name: &str, notes: &mut Vec<Note>) -> Result<Unit, UnitError> {
        let mut name = name.to_owned();
        for _ in 0..MAX_ALIASES {
            match Unit::load_named(root, &name, notes)? {
                Found::Unit(unit) => return Ok(*unit),
                Found::Alias(real) => name = real,
            }
        }
        Err(UnitError::Missing(name))
    }

    fn load_named(root: &Root, name: &str, notes: &mut Vec<Note>) -> Result<Found, UnitError> {
        if !is_unit_name(name) {
            return Err(UnitError::Name(name.chars().take(100).collect()));
        }
        let template = template_of(name).filter(|t| t != name);
        let names: Vec<String> = [Some(name.to_owned()), template].into_iter().flatten().collect();
        let path = names
            .iter()
            .flat_map(|n| DIRECTORIES.map(|d| format!("{d}/{n}")))
            .find(|p| root.link(p).is_ok())
            .ok_or_else(|| UnitError::Missing(name.to_owned()))?;
        if let Some(target) = root.link(&path)? {
            let at = path.rsplit('/').next().unwrap_or_default();
            let real = match alias_of(at, &target) {
                Some(real) if is_template(&real) && !is_template(name) => alias_of(name, &target),
                other => other,
            };
            let there = |n: &String| DIRECTORIES.iter().any(|d| root.link(&format!("{d}/{n}")).is_ok());
            if let Some(real) = real.filter(|r| there(r) || template_of(r).is_some_and(|t| there(&t))) {
                return Ok(Found::Alias(real));
            }
        }
        let resolved = root.resolve(&path)?;
        if resolved.path == "/dev/null" {
            return Err(UnitError::Masked { name: name.to_owned(), path });
        }
        let text = root.text(&resolved.path, MAX_FILE)?;
        if text.is_empty() {
            return Err(UnitError::Masked { name: name.to_owned(), path });
        }
        let mut unit =
            Unit { name: name.to_owned(), fragment: resolved.path.clone(), drop_ins: Vec::new(), entries: Vec::new() };
        unit.add(&resolved.path, &text, notes);
        for path in drop_ins(root, &names)? {
            let text = root.text(&path, MAX_FILE)?;
            unit.add(&path, &text, notes);
            unit.drop_ins.push(path);
        }
        Ok(Found::Unit(Box::new(unit)))
    }

    fn add(&mut self, path: &str, text: &str, notes: &mut Vec<Note>) {
        let parsed = parse(path, text);
        self.entries.extend(parsed.entries);
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

/// Drop-in files of a unit in the order in which systemd reads them: by file name over all directories; of two with
/// the same name the one in the directory of higher precedence counts.
fn drop_ins(root: &Root, names: &[String]) -> Result<Vec<String>, RootError> {
    let mut folders: Vec<String> = names.iter().map(|n| format!("{n}.d")).collect();
    for name in names {
        if let Some((stem, suffix)) = name.rsplit_once('.') {
            // foo-bar-baz.service also reads foo-bar-.service.d and foo-.service.d.
            let cuts = stem.match_indices('-').map(|(i, _)| format!("{}.{suffix}.d", &stem[..=i]));
            folders.extend(
                cuts.collect::<Vec<_>>().into_iter().rev().filter(|f| !folders.contains(f)).collect::<Vec<_>>(),
            );
        }
    }
    if let Some((_, suffix)) = names.first().and_then(|n| n.rsplit_once('.')) {
        folders.push(format!("{suffix}.d"));
    }
    let mut chosen: BTreeMap<String, String> = BTreeMap::new();
    // A more specific folder outranks a directory of higher precedence.
    for folder in folders {
        for directory in DIRECTORIES {
            let folder = format!("{directory}/{folder}");
            let entries = match root.entries(&folder) {
                Err(e) if e.is_not_found() => continue,
                other => other?,
            };
            for (file, _) in entries.into_iter().filter(|(f, _)| f.ends_with(".conf")) {
                let path = format!("{folder}/{file}");
                chosen.entry(file).or_insert(path);
            }
        }
    }
    let mut out = Vec::new();
    for path in chosen.into_values() {
        let resolved = root.resolve(&path)?;
        // A link to /dev/null masks the drop-in of that name.
        if resolved.kind == Some(Kind::File) && !out.contains(&resolved.path) {
            out.push(resolved.path);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

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
