//! Which units have limits, and where their cgroups are.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use kiln_base::abi::Tables;
use kiln_base::abi::layout::{Limit, S_SENTINEL};
use kiln_base::abi::metadata::{LimitInfo, SubjectInfo};
use kiln_base::model::{Action, Resource, cgroup_name, literal_of_pattern, template_of_pattern};

use crate::label::slots::Slots;
use crate::limit::now::Now;

/// The host's subject: a unit's cgroup begins as the host's.
const HOST: u32 = 1;

/// An instance that stands for all of a template that nothing names.
const ANY_INSTANCE: &str = "kiln-limits";

/// Of each resource the least that a block says, and the limit that says it.
pub type Least<'a> = BTreeMap<Resource, (u64, &'a LimitInfo)>;

/// Of each resource how much.
pub type Amounts = BTreeMap<Resource, u64>;

/// The services and templates (`app@.service`) that the policy's limits name. The compiler takes no limits of others.
pub fn named(tables: &Tables) -> BTreeSet<String> {
    let limited = tables.metadata.blocks.iter().filter(|block| !block.limits.is_empty());
    let patterns = limited.flat_map(|block| &block.units);
    patterns.filter_map(|pattern| literal_of_pattern(pattern).or_else(|| template_of_pattern(pattern))).collect()
}

/// What a service or template is held to now.
pub fn least<'a>(tables: &'a Tables, unit: &str, now: &Now) -> Least<'a> {
    let name = instance_of(unit);
    let subject = tables.kernel.after_unit(HOST, cgroup_name(&name).as_bytes());
    let info = (subject as usize).checked_sub(1).and_then(|n| tables.metadata.subjects.get(n));
    info.map(|info| tables.metadata.limits(info, |window| now.is_open(window))).unwrap_or_default()
}

/// The services that have limits now, by their names: those that the policy names, and instances of its templates that run.
pub fn units<'a>(tables: &'a Tables, cgroups: &Path, now: &Now) -> BTreeMap<String, Least<'a>> {
    let mut units = BTreeSet::new();
    for name in named(tables) {
        if is_template(&name) {
            units.extend(running(cgroups, &name).into_keys());
        } else {
            units.insert(name);
        }
    }
    let all = units.into_iter().map(|unit| (least(tables, &unit, now), unit));
    all.filter(|(least, _)| !least.is_empty()).map(|(least, unit)| (unit, least)).collect()
}

/// Whether a name is a template's.
pub fn is_template(name: &str) -> bool {
    name.ends_with("@.service")
}

/// The template of an instance.
pub fn template_of(unit: &str) -> Option<String> {
    let (name, rest) = unit.split_once('@')?;
    (rest.len() > ".service".len()).then(|| format!("{name}@.service"))
}

/// A service itself; of a template one that stands for all.
pub fn instance_of(name: &str) -> String {
    match name.strip_suffix("@.service") {
        Some(template) => format!("{template}@{ANY_INSTANCE}.service"),
        None => name.to_owned(),
    }
}

/// Whether a text names a service (systemd.unit(5)), as the compiler has it.
pub fn is_service(name: &str) -> bool {
    let stem = name.strip_suffix(".service").filter(|stem| !stem.is_empty());
    let good = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    stem.is_some() && name.len() <= 255 && name.bytes().all(good) && !name.starts_with(['-', '.', '@'])
}

/// The blocks that throttle who breaks their rules, by their places.
fn throttling(tables: &Tables) -> BTreeSet<u32> {
    let outcomes = (0..tables.kernel.header.n_outcomes).filter_map(|n| tables.kernel.outcome(n));
    let rules = outcomes.filter(|outcome| outcome.action == Action::Throttle as u8).map(|outcome| outcome.rule);
    rules.filter_map(|rule| Some(tables.metadata.rules.get(rule as usize)?.block)).collect()
}

/// What the kernel programs hold each label to that has limits of any kind, also where none of them holds now, or that may
/// be throttled: by having an entry alone it is kept from changing what its cgroup is held to.
pub fn labels(tables: &Tables, slots: &Slots, now: &Now) -> BTreeMap<u32, Limit> {
    let mut found = BTreeMap::new();
    let throttling = throttling(tables);
    let throttles = |info: &SubjectInfo| {
        let blocks = throttling.iter().filter_map(|n| tables.metadata.blocks.get(*n as usize));
        blocks.into_iter().any(|block| info.bound_by(block))
    };
    for (label, slot) in slots.slot.iter().enumerate() {
        // 0: no subject; else one more than its index.
        let Some(subject) = slot.checked_sub(1).filter(|subject| *subject != 0) else { continue };
        if tables.kernel.subject(subject).is_none_or(|s| s.flags & S_SENTINEL != 0) {
            continue;
        }
        let Some(info) = tables.metadata.subjects.get(subject as usize - 1) else { continue };
        let least = tables.metadata.limits(info, |window| now.is_open(window));
        let most = |resource| least.get(&resource).map_or(0, |(most, _)| *most);
        let limit =
            Limit { files: most(Resource::Files), rate: [most(Resource::NetworkIn), most(Resource::NetworkOut)] };
        if throttles(info) || !tables.metadata.limits(info, |_| true).is_empty() {
            found.insert(label as u32, limit);
        }
    }
    found
}

/// The cgroups of a service or of a template's instances that run, by the services' names.
pub fn running(root: &Path, name: &str) -> BTreeMap<String, PathBuf> {
    let Some(template) = name.strip_suffix(".service").filter(|_| is_template(name)) else {
        return cgroup(root, name).map(|path| (name.to_owned(), path)).into_iter().collect();
    };
    let mut found = BTreeMap::new();
    instances(root, template, &mut found);
    found
}

fn instances(folder: &Path, template: &str, found: &mut BTreeMap<String, PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let unit = name.strip_prefix('_').unwrap_or(&name);
        if unit.starts_with(template) && unit.len() > template.len() + ".service".len() && is_service(unit) {
            found.insert(unit.to_owned(), entry.path());
        } else if name.ends_with(".slice") {
            instances(&entry.path(), template, found);
        }
    }
}

/// The cgroup of a unit that runs: below slices, by its name.
pub fn cgroup(root: &Path, unit: &str) -> Option<PathBuf> {
    let own = root.join(cgroup_name(unit));
    if own.is_dir() {
        return Some(own);
    }
    let slices = std::fs::read_dir(root).ok()?.flatten().map(|entry| entry.path());
    slices.filter(|path| path.extension() == Some(OsStr::new("slice"))).find_map(|path| cgroup(&path, unit))
}

/// The processes of a cgroup and of all below it.
pub fn processes(cgroup: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(processes(&entry.path()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_templates_instances_are_found_by_their_cgroups() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in [
            "system.slice/system-a.slice/a@1.service/a@9.service",
            "system.slice/system-a.slice/a@.service",
            "system.slice/a@*.service",
            "system.slice/ab@2.service",
            "system.slice/a@x-2.service",
        ] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        let found = running(dir.path(), "a@.service");
        assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), ["a@1.service", "a@x-2.service"]);
        assert_eq!(found["a@1.service"], at("system.slice/system-a.slice/a@1.service"));
        assert_eq!(running(dir.path(), "ab@2.service").len(), 1);
        assert_eq!(template_of("a@x-2.service").as_deref(), Some("a@.service"));
        assert_eq!((template_of("a@.service"), template_of("a.service")), (None, None));
        assert_eq!(instance_of("a@.service"), "a@kiln-limits.service");
    }

    #[test]
    fn a_units_cgroup_is_below_slices_only() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in
            ["system.slice/a.service/b.service", "system.slice/system-x.slice/_odd.service", "b.scope/c.service"]
        {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        assert_eq!(cgroup(dir.path(), "a.service"), Some(at("system.slice/a.service")));
        assert_eq!(cgroup(dir.path(), "b.service"), None);
        assert_eq!(cgroup(dir.path(), "c.service"), None);
        std::fs::write(at("system.slice/a.service/cgroup.procs"), "7\n8\n").unwrap();
        std::fs::write(at("system.slice/a.service/b.service/cgroup.procs"), "9\n").unwrap();
        assert_eq!(processes(&at("system.slice/a.service")), [7, 8, 9]);
    }
}
