//! What of each limit is used, and how often it was met, by the kernel's own counters.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kiln_base::abi::Tables;
use kiln_base::abi::layout::Traffic;
use kiln_base::model::Resource;
use serde::Serialize;

use crate::config::Places;
use crate::limit::bound;
use crate::limit::now::Now;
use crate::load::maps::Maps;

/// A limit of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The unit.
    pub unit: String,
    /// What is limited.
    pub resource: Resource,
    /// To how much: percent, bytes, tasks, descriptors, bytes a second, bits a second.
    pub limit: u64,
    /// Memory, tasks and the descriptors of the process that has most: now. Of the others all since the unit started:
    /// microseconds of processor time, bytes. Absent while the unit does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// How often the limit was met since the unit started; of network traffic the bytes that were dropped. Absent where
    /// the kernel does not count it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<u64>,
}

/// Every limit of a policy that holds now.
pub fn all(places: &Places, maps: &Maps, tables: &Tables, now: &Now) -> Vec<Usage> {
    let mut found = Vec::new();
    for (unit, least) in bound::units(tables, &places.cgroups, now) {
        let cgroup = bound::cgroup(&places.cgroups, &unit);
        for (resource, (limit, _)) in least {
            let cgroup = cgroup.as_deref();
            let used = cgroup.and_then(|cgroup| used(places, maps, cgroup, resource));
            let met = cgroup.and_then(|cgroup| met(maps, cgroup, resource));
            found.push(Usage { unit: unit.clone(), resource, limit, used, met });
        }
    }
    found
}

fn used(places: &Places, maps: &Maps, cgroup: &Path, resource: Resource) -> Option<u64> {
    match resource {
        Resource::Cpu => field(cgroup, "cpu.stat", "usage_usec"),
        Resource::Memory => number(cgroup, "memory.current"),
        Resource::Pids => number(cgroup, "pids.current"),
        Resource::Files => {
            let open = |pid: i32| std::fs::read_dir(places.proc.join(format!("{pid}/fd"))).ok().map(Iterator::count);
            bound::processes(cgroup).into_iter().filter_map(open).max().map(|most| most as u64)
        }
        Resource::IoRead => Some(disks(cgroup, "rbytes=")),
        Resource::IoWrite => Some(disks(cgroup, "wbytes=")),
        Resource::NetworkIn => traffic(maps, cgroup).map(|traffic| traffic.passed[0]),
        Resource::NetworkOut => traffic(maps, cgroup).map(|traffic| traffic.passed[1]),
    }
}

/// How often a limit was met since the cgroup was made.
pub fn met(maps: &Maps, cgroup: &Path, resource: Resource) -> Option<u64> {
    match resource {
        Resource::Cpu => field(cgroup, "cpu.stat", "nr_throttled"),
        // `max` counts each reclaim at the limit, which page cache alone brings about; this, that it did not help.
        Resource::Memory => field(cgroup, "memory.events", "oom"),
        Resource::Pids => Some(refused_forks(cgroup)),
        Resource::Files | Resource::IoRead | Resource::IoWrite => None,
        Resource::NetworkIn => traffic(maps, cgroup).map(|traffic| traffic.dropped[0]),
        Resource::NetworkOut => traffic(maps, cgroup).map(|traffic| traffic.dropped[1]),
    }
}

/// Before 6.11 the kernel counts them where the fork was, not where the limit is.
fn refused_forks(cgroup: &Path) -> u64 {
    let below = std::fs::read_dir(cgroup).into_iter().flatten().flatten();
    let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let below: u64 = below.map(|entry| refused_forks(&entry.path())).sum();
    field(cgroup, "pids.events", "max").unwrap_or(0) + below
}

/// Without an entry nothing was counted yet.
fn traffic(maps: &Maps, cgroup: &Path) -> Option<Traffic> {
    let id = std::fs::metadata(cgroup).ok()?.ino();
    maps.traffics.read::<Traffic>(&id).ok().map(Option::unwrap_or_default)
}

fn number(cgroup: &Path, file: &str) -> Option<u64> {
    std::fs::read_to_string(cgroup.join(file)).ok()?.trim().parse().ok()
}

fn field(cgroup: &Path, file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(cgroup.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn disks(cgroup: &Path, name: &str) -> u64 {
    let text = std::fs::read_to_string(cgroup.join("io.stat")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|word| word.strip_prefix(name)?.parse::<u64>().ok()).sum()
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.unit, self.resource, self.resource.amount(self.limit))?;
        match (self.used, self.resource) {
            (None, _) => write!(f, "; it does not run"),
            (Some(used), Resource::Cpu) => write!(f, "; used {} ms", used / 1000),
            (Some(used), Resource::Memory) => write!(f, "; used {} KiB", used >> 10),
            (Some(used), Resource::Pids | Resource::Files) => write!(f, "; used {used}"),
            (Some(used), _) => write!(f, "; {used} bytes"),
        }?;
        match self.met {
            None | Some(0) => Ok(()),
            Some(met) if self.resource.is_network() => write!(f, ", {met} dropped"),
            Some(met) => write!(f, ", met {met} times"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_counters_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        put("cpu.stat", "usage_usec 5000\nnr_throttled_x 9\nnr_throttled 3\n");
        put("memory.current", "4096\n");
        put("io.stat", "259:0 rbytes=10 wbytes=20 rios=1\n8:0 rbytes=5 wbytes=0\n");
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        put("pids.events", "max 2\n");
        put("sub/pids.events", "max 3\n");
        assert_eq!(field(dir.path(), "cpu.stat", "nr_throttled"), Some(3));
        assert_eq!(number(dir.path(), "memory.current"), Some(4096));
        assert_eq!((disks(dir.path(), "rbytes="), disks(dir.path(), "wbytes=")), (15, 20));
        assert_eq!(refused_forks(dir.path()), 5);
    }

    #[test]
    fn a_line_says_limit_and_use() {
        let usage = Usage {
            unit: "a.service".to_owned(),
            resource: Resource::Memory,
            limit: 64 << 20,
            used: Some(2048),
            met: Some(1),
        };
        assert_eq!(usage.to_string(), "a.service memory 64MiB; used 2 KiB, met 1 times");
        let idle = Usage { resource: Resource::NetworkOut, limit: 8_000_000, used: None, met: None, ..usage };
        assert_eq!(idle.to_string(), "a.service network out 8Mbit/s; it does not run");
    }
}
