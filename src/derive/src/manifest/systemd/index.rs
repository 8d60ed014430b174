//! The unit files of an image by name, and the names by which each is known (unit_file_build_name_map() of systemd).

use std::collections::{BTreeMap, BTreeSet};

use super::unit::{DIRECTORIES, Unit, instance_of, is_unit_name};
use crate::manifest::root::{Kind, Root};

/// Aliases of aliases.
const MAX_ALIASES: usize = 8;

/// What a name in the unit folders is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// A unit file, or a link to one elsewhere.
    File(String),
    /// A link to another unit of the folders.
    Alias(String),
}

/// All names.
#[derive(Debug, Default)]
pub struct Index {
    names: BTreeMap<String, Named>,
    /// Aliases by the name that they lead to in the end.
    aliases: BTreeMap<String, BTreeSet<String>>,
    /// The `.wants/`, `.requires/` and `.upholds/` links: name and where.
    wanted: BTreeMap<String, String>,
    /// The folders of drop-ins that are there, by their paths.
    drop_ins: BTreeSet<String>,
}

/// Which socket units name a service by Service=, and which start an instance for each connection.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Socket units by service.
    pub of: BTreeMap<String, Vec<String>>,
}

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

    /// The name by which systemd knows the unit: aliases followed, the instance kept.
    pub fn main(&self, name: &str) -> String {
        let mut name = name.to_owned();
        for _ in 0..MAX_ALIASES {
            let (template, instance) = instance_of(&name).unzip();
            let target = match self.names.get(&name) {
                Some(Named::Alias(target)) => Some(target),
                Some(Named::File(_)) => None,
                None => match template.as_ref().and_then(|t| self.names.get(t)) {
                    Some(Named::Alias(target)) => Some(target),
                    _ => None,
                },
            };
            let Some(target) = target else { break };
            let next = match (target.split_once("@."), &instance) {
                (Some((prefix, suffix)), Some(instance)) => format!("{prefix}@{instance}.{suffix}"),
                _ => target.clone(),
            };
            if next == name {
                break;
            }
            name = next;
        }
        name
    }

    /// The file of a unit by its main name: its own, or that of its template.
    pub fn fragment(&self, name: &str) -> Option<String> {
        let file = |name: &str| match self.names.get(name)? {
            Named::File(path) => Some(path.clone()),
            Named::Alias(target) => match self.names.get(target)? {
                Named::File(path) => Some(path.clone()),
                Named::Alias(_) => None,
            },
        };
        file(name).or_else(|| file(&instance_of(name)?.0))
    }

    /// The other names of a unit.
    pub fn aliases(&self, name: &str) -> Vec<String> {
        let own = self.aliases.get(name).into_iter().flatten().cloned();
        let instance = instance_of(name);
        let of_template = instance.iter().flat_map(|(template, instance)| {
            let aliases = self.aliases.get(template).into_iter().flatten();
            aliases.filter_map(move |a| a.split_once("@.").map(|(p, s)| format!("{p}@{instance}.{s}")))
        });
        own.chain(of_template).filter(|a| a != name).collect()
    }

    /// Whether there is such a folder of drop-ins.
    pub fn has_drop_ins(&self, folder: &str) -> bool {
        self.drop_ins.contains(folder)
    }

    /// The link that starts a unit under any of its names.
    pub fn started_by(&self, name: &str) -> Option<&str> {
        let mut names = vec![name.to_owned()];
        names.extend(self.aliases(name));
        names.iter().find_map(|n| self.wanted.get(n)).map(String::as_str)
    }

    /// The names of all socket units.
    fn sockets(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str).filter(|n| n.ends_with(".socket"))
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

impl Sockets {
    /// Those of an image, read once.
    pub fn of(root: &Root) -> &Sockets {
        root.sockets.get_or_init(|| {
            let mut out = Sockets::default();
            for name in Index::of(root).sockets() {
                if Index::of(root).main(name) != name {
                    continue;
                }
                let Ok(unit) = Unit::load(root, name, &mut Vec::new()) else { continue };
                if let Some(entry) = unit.last("Socket", "Service") {
                    out.of.entry(entry.value.clone()).or_default().push(name.to_owned());
                }
            }
            out
        })
    }
}
