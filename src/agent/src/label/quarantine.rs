//! Who is in quarantine, and the way out. The kernel programs put them there (`bpf/include/quarantine.h`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kiln_base::abi::layout::{Quarantine, QuarantineKey, TICK, Task};
use kiln_base::abi::metadata::QUARANTINE;
use serde::Serialize;
use zerocopy::{FromBytes, IntoBytes};

use crate::bpf::map::Map;
use crate::error::{AgentError, Refusal, Result, Step};
use crate::label::bearer::Labels;
use crate::label::process::Process;
use crate::label::slots::LabelTable;
use crate::label::tree;
use crate::label::who::Bound;
use crate::machine::process::Identity;
use crate::machine::procfs::{gone, unreadable};

/// A unit or a process in quarantine.
#[derive(Debug, Clone)]
pub struct Held {
    /// Which.
    pub key: QuarantineKey,
    /// What the kernel noted.
    pub entry: Quarantine,
    /// A unit's cgroup.
    pub cgroup: Option<PathBuf>,
}

impl Held {
    /// The unit's name, by its cgroup.
    pub fn unit(&self) -> Option<String> {
        let name = self.cgroup.as_ref()?.file_name()?.to_string_lossy().into_owned();
        // cg_escape() of systemd.
        Some(name.strip_prefix('_').map_or(name.clone(), str::to_owned))
    }

    /// The process's number, where it is not the whole unit.
    pub fn pid(&self) -> Option<u32> {
        (self.key.start != 0).then_some(self.key.id as u32)
    }

    /// Whether it is a process that has ended. A unit's entry goes with its cgroup.
    pub fn is_over(&self) -> bool {
        self.pid().is_some_and(|pid| Identity::of(pid).is_none_or(|i| i.start != (self.key.start / TICK) as u32))
    }
}

/// The keys of `kiln_quarantined`.
///
/// # Errors
/// Of the kernel.
pub fn keys(map: &Map) -> Result<BTreeSet<QuarantineKey>> {
    let keys = map.keys().map_err(|e| AgentError::kernel(Step::ReadQuarantine, e))?;
    Ok(keys.iter().filter_map(|key| QuarantineKey::read_from_bytes(key).ok()).collect())
}

/// All of it, with the units' cgroups.
///
/// # Errors
/// Of the kernel.
pub fn list(map: &Map, cgroup_root: &Path) -> Result<Vec<Held>> {
    let keys = keys(map)?;
    let units: BTreeSet<u64> = keys.iter().filter(|k| k.start == 0).map(|k| k.id).collect();
    let mut paths: BTreeMap<u64, PathBuf> = BTreeMap::new();
    if !units.is_empty() {
        tree::walk(cgroup_root, &mut |seen| {
            if units.contains(&seen.inode) {
                paths.insert(seen.inode, seen.path.to_owned());
            }
            Ok(None)
        })?;
    }
    let mut held = Vec::new();
    for key in keys {
        let entry = map.read::<Quarantine>(&key).map_err(|e| AgentError::kernel(Step::ReadQuarantine, e))?;
        let cgroup = (key.start == 0).then(|| paths.get(&key.id).cloned()).flatten();
        held.extend(entry.map(|entry| Held { key, entry, cgroup }));
    }
    Ok(held)
}

/// A process that bears the label of quarantine itself and has no entry: a descendant of one that has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Descendant {
    /// The process.
    pub pid: u32,
    /// Its subject before, `profile|guard,guard`.
    pub subject: String,
}

/// All such processes; those in a unit that is in quarantine are not told one by one.
pub fn descendants(bound: &[Bound], held: &[Held], given: &LabelTable) -> Vec<Descendant> {
    let known = |bound: &Bound| {
        let inside = |group: &PathBuf| bound.process.cgroup.as_ref().is_some_and(|path| path.starts_with(group));
        held.iter().any(|h| h.pid() == Some(bound.process.pid.cast_unsigned()) || h.cgroup.as_ref().is_some_and(inside))
    };
    let of = |bound: &Bound| {
        let subject = given.key(bound.label)?.strip_suffix(QUARANTINE)?.to_owned();
        Some(Descendant { pid: bound.process.pid.cast_unsigned(), subject })
    };
    bound.iter().filter(|bound| bound.own && !known(bound)).filter_map(of).collect()
}

/// Drops the entry of one that is over.
///
/// # Errors
/// Of the kernel.
pub fn forget(map: &Map, held: &Held) -> Result<()> {
    map.remove(held.key.as_bytes()).map_err(|e| AgentError::kernel(Step::WriteQuarantine, e))
}

/// The way out, for one unit or process.
pub struct Release<'a> {
    /// `kiln_quarantined`.
    pub map: &'a Map,
    /// `kiln_cgroups`.
    pub cgroups: &'a Map,
    /// `kiln_labels`.
    pub labels: Labels<'a>,
    /// Which label each subject has.
    pub given: &'a LabelTable,
    /// Has the programs mark what `kiln_cgroups` has.
    pub mark_groups: &'a dyn Fn() -> Result<()>,
    /// cgroup v2.
    pub cgroup_root: &'a Path,
    /// procfs.
    pub proc_root: &'a Path,
}

impl Release<'_> {
    /// Lets a unit go by its name, or a process by its number, with its descendants.
    ///
    /// # Errors
    /// [`Refusal::NotQuarantined`]; of the kernel.
    pub fn run(&self, asked: &str) -> Result<Vec<Held>> {
        let pid = asked.parse::<u32>().ok();
        let mut held = list(self.map, self.cgroup_root)?;
        held.retain(|h| match pid {
            Some(pid) => h.pid() == Some(pid),
            None => h.unit().as_deref() == Some(asked),
        });
        let mut released = 0;
        for one in &held {
            // First: what is refused from now on begins a new one.
            let fail = |e| AgentError::kernel(Step::WriteQuarantine, e);
            forget(self.map, one)?;
            if one.key.start == 0 {
                let now = self.cgroups.read::<u32>(&one.key.id).map_err(fail)?;
                let outside = now.and_then(|label| self.outside(label)).unwrap_or(one.entry.label);
                self.cgroups.write(&one.key.id, &outside).map_err(fail)?;
                (self.mark_groups)()?;
            }
            released += 1;
        }
        let of_units: Vec<&PathBuf> = held.iter().filter_map(|h| h.cgroup.as_ref()).collect();
        released += self.processes(pid, &of_units)?;
        if released == 0 { Err(Refusal::NotQuarantined(asked.to_owned()).into()) } else { Ok(held) }
    }

    /// The label of the same subject outside of quarantine.
    fn outside(&self, label: u32) -> Option<u32> {
        self.given.label(self.given.key(label)?.strip_suffix(QUARANTINE)?)
    }

    /// Processes that bear the label themselves: the one that was asked for and its descendants, or those in the cgroups.
    fn processes(&self, pid: Option<u32>, cgroups: &[&PathBuf]) -> Result<usize> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.proc_root).map_err(|e| unreadable(self.proc_root, e))? {
            let Some(entry) = gone(entry).map_err(|e| unreadable(self.proc_root, e))? else { continue };
            let Some(number) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
            all.extend(Process::read(self.proc_root, number)?);
        }
        // Parents first.
        all.sort_by_key(|p| (p.start, p.pid));
        let mut family: BTreeSet<i32> = pid.into_iter().map(u32::cast_signed).collect();
        let mut released = 0;
        for process in &all {
            if family.contains(&process.parent) {
                family.insert(process.pid);
            }
            let inside = |path: &PathBuf| cgroups.iter().any(|group| path.starts_with(group));
            if !family.contains(&process.pid) && !process.cgroup.as_ref().is_some_and(inside) {
                continue;
            }
            let Some(own) = self.labels.of(&process.pidfd)? else { continue };
            let Some(label) = self.outside(own.label) else { continue };
            match self.labels.set(&process.pidfd, Task { label, ..own }) {
                Err(e) if process.alive() => return Err(AgentError::kernel(Step::LabelProcess(process.pid), e)),
                _ => released += 1,
            }
        }
        Ok(released)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_named_as_systemd_does_and_a_process_by_its_start() {
        let held = |id, start, cgroup: Option<&str>| Held {
            key: QuarantineKey { id, start },
            entry: Quarantine::default(),
            cgroup: cgroup.map(PathBuf::from),
        };
        let unit = held(7, 0, Some("/system.slice/_cpu.service"));
        assert_eq!((unit.unit().as_deref(), unit.pid(), unit.is_over()), (Some("cpu.service"), None, false));
        assert_eq!(held(7, 0, Some("/system.slice/a.service")).unit().as_deref(), Some("a.service"));
        let me = std::process::id();
        let start = u64::from(Identity::of(me).unwrap().start) * TICK;
        assert!(!held(me.into(), start, None).is_over());
        assert!(held(me.into(), start + 2 * TICK, None).is_over());
    }
}
