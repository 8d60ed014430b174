//! Which units have limits, and where their cgroups are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use kiln_base::abi::Tables;
use kiln_base::abi::layout::{Limit, S_SENTINEL};
use kiln_base::abi::metadata::LimitInfo;
use kiln_base::model::{Resource, cgroup_name, literal_of_pattern};

use crate::label::slots::Slots;

/// The host's subject: a unit's cgroup begins as the host's.
const HOST: u32 = 1;

/// Of each resource the least that a block says, and the limit that says it.
pub type Least<'a> = BTreeMap<Resource, (u64, &'a LimitInfo)>;

/// The units that have limits. The compiler takes limits of single services only, so that all are named.
pub fn units(tables: &Tables) -> BTreeMap<String, Least<'_>> {
    let metadata = &tables.metadata;
    let limited = metadata.blocks.iter().filter(|block| !block.limits.is_empty());
    let names = limited.flat_map(|block| &block.units).filter_map(|pattern| literal_of_pattern(pattern));
    let least = |unit: String| {
        let subject = tables.kernel.after_unit(HOST, cgroup_name(&unit).as_bytes());
        let info = metadata.subjects.get((subject as usize).checked_sub(1)?)?;
        Some((unit, metadata.limits(info)))
    };
    names.filter_map(least).collect()
}

/// What the kernel programs hold each label to that has limits of any kind.
pub fn labels(tables: &Tables, slots: &Slots) -> BTreeMap<u32, Limit> {
    let mut found = BTreeMap::new();
    for (label, slot) in slots.slot.iter().enumerate() {
        // 0: no subject; else one more than its index.
        let Some(subject) = slot.checked_sub(1).filter(|subject| *subject != 0) else { continue };
        if tables.kernel.subject(subject).is_none_or(|s| s.flags & S_SENTINEL != 0) {
            continue;
        }
        let Some(info) = tables.metadata.subjects.get(subject as usize - 1) else { continue };
        let least = tables.metadata.limits(info);
        let most = |resource| least.get(&resource).map_or(0, |(most, _)| *most);
        let limit =
            Limit { files: most(Resource::Files), rate: [most(Resource::NetworkIn), most(Resource::NetworkOut)] };
        if !least.is_empty() {
            found.insert(label as u32, limit);
        }
    }
    found
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
