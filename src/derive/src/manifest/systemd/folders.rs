//! Reads the unit folders of an image.

use std::collections::BTreeSet;

use super::index::{Index, Named};
use super::name::{DIRECTORIES, instance_of, is_unit_name};
use crate::manifest::root::{Kind, Root};

/// Endings of the folders whose links start units.
pub const STARTING: [&str; 3] = [".wants", ".requires", ".upholds"];

impl Index {
    /// The index of an image, made once.
    pub fn of(root: &Root) -> &Index {
        root.units.get_or_init(|| Index::read(root))
    }

    fn read(root: &Root) -> Index {
        let mut out = Index::default();
        let real = |d: &str| root.resolve(d).map(|r| r.path).unwrap_or_else(|_| d.to_owned());
        let folders: BTreeSet<String> = DIRECTORIES.iter().map(|d| real(d)).collect();
        for directory in DIRECTORIES {
            for (name, kind) in root.entries(directory).unwrap_or_default() {
                let path = format!("{directory}/{name}");
                if name.ends_with(".d") {
                    out.drop_ins.insert(path.clone());
                }
                if STARTING.iter().any(|s| name.ends_with(s)) {
                    for (unit, _) in root.entries(&path).unwrap_or_default() {
                        out.wanted.entry(unit.clone()).or_insert_with(|| format!("{path}/{unit}"));
                    }
                }
                if kind == Kind::Directory || !is_unit_name(&name) || out.names.contains_key(&name) {
                    continue;
                }
                out.names.insert(name.clone(), named(root, &folders, &name, path, kind));
            }
        }
        let targets: Vec<(String, String)> = out
            .names
            .iter()
            .filter(|(_, n)| matches!(n, Named::Alias(_)))
            .map(|(name, _)| (name.clone(), out.main(name)))
            .collect();
        for (alias, target) in targets {
            out.aliases.entry(target).or_default().insert(alias);
        }
        out
    }
}

/// What one entry is. Links are followed to the end; one that leads to another name within the folders is an alias.
fn named(root: &Root, folders: &BTreeSet<String>, name: &str, path: String, kind: Kind) -> Named {
    if kind != Kind::Link {
        return Named::File(path);
    }
    let Ok(target) = root.resolve(&path) else { return Named::File(path) };
    let Some((folder, last)) = target.path.rsplit_once('/') else { return Named::File(path) };
    let same_type = |a: &str, b: &str| a.rsplit_once('.').map(|p| p.1) == b.rsplit_once('.').map(|p| p.1);
    // An instance that links to its own template is that template's instance, not another name of it.
    let instance = instance_of(name).is_some_and(|(template, _)| template == last);
    let alias = folders.contains(folder) && last != name && is_unit_name(last) && same_type(name, last) && !instance;
    if alias { Named::Alias(last.to_owned()) } else { Named::File(path) }
}
