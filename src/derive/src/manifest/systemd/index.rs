//! The unit files of an image by name, and the names by which each is known (unit_file_build_name_map() of systemd).

use std::collections::{BTreeMap, BTreeSet};

use super::name::instance_of;

/// Aliases of aliases.
const MAX_ALIASES: usize = 8;

/// What a name in the unit folders is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// A unit file, or a link to one elsewhere.
    File(String),
    /// A link to another unit of the folders.
    Alias(String),
}

/// All names.
#[derive(Debug, Default)]
pub struct Index {
    pub(super) names: BTreeMap<String, Named>,
    /// Aliases by the name that they lead to in the end.
    pub(super) aliases: BTreeMap<String, BTreeSet<String>>,
    /// The `.wants/`, `.requires/` and `.upholds/` links: name and where.
    pub(super) wanted: BTreeMap<String, String>,
    /// The folders of drop-ins that are there, by their paths.
    pub(super) drop_ins: BTreeSet<String>,
}

/// Which socket units name a service by Service=, and which start an instance for each connection.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Socket units by service.
    pub of: BTreeMap<String, Vec<String>>,
}

impl Index {
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
    pub(super) fn sockets(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str).filter(|n| n.ends_with(".socket"))
    }
}
