//! Units that are throttled: what they may still use, and the kernel's table of them. The kernel programs write it where a
//! rule is broken, and hold the traffic of who is in it to its rate at once; the agent adds who met a limit, and sees to
//! the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_base::abi::layout::{THROTTLE_NS, Throttle};
use zerocopy::{FromBytes, IntoBytes};

use crate::bpf::map::ANY;
use crate::error::{AgentError, Result, Step};
use crate::label::tree;
use crate::load::maps::Maps;
use crate::machine::clock::now_ns;

/// `rule` of who met a limit.
const NO_RULE: u32 = u32::MAX;

/// A unit that is throttled.
#[derive(Debug, Clone)]
pub struct Slowed {
    /// Id of its cgroup.
    pub id: u64,
    /// What the kernel, or the agent, noted.
    pub entry: Throttle,
    /// Its cgroup, if it is there.
    pub cgroup: Option<PathBuf>,
}

impl Slowed {
    /// The unit's name, by its cgroup.
    pub fn unit(&self) -> Option<String> {
        let name = self.cgroup.as_ref()?.file_name()?.to_string_lossy().into_owned();
        // cg_escape() of systemd.
        Some(name.strip_prefix('_').map_or(name.clone(), str::to_owned))
    }

    /// Whether its time is over.
    pub fn is_over(&self) -> bool {
        self.entry.until_ns <= now_ns()
    }
}

/// All of the kernel's table, also those whose time is over.
///
/// # Errors
/// Of the kernel.
pub fn list(maps: &Maps, cgroup_root: &Path) -> Result<Vec<Slowed>> {
    let fail = |e| AgentError::kernel(Step::ReadThrottle, e);
    // Costs nothing on a machine that never had one in this boot.
    if !maps.state.throttles() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for key in maps.throttled.keys().map_err(fail)? {
        let Ok(id) = u64::read_from_bytes(&key) else { continue };
        let entry = maps.throttled.read::<Throttle>(&id).map_err(fail)?;
        // The programs are about to fill one without a time.
        let entry = entry.filter(|entry| entry.time_ns != 0);
        found.extend(entry.map(|entry| Slowed { id, entry, cgroup: None }));
    }
    let mut paths: BTreeMap<u64, PathBuf> = BTreeMap::new();
    if !found.is_empty() {
        tree::walk(cgroup_root, &mut |seen| {
            if found.iter().any(|slowed| slowed.id == seen.inode) {
                paths.insert(seen.inode, seen.path.to_owned());
            }
            Ok(None)
        })?;
    }
    found.iter_mut().for_each(|slowed| slowed.cgroup = paths.remove(&slowed.id));
    Ok(found)
}

/// The entry of a cgroup, where it is in force.
pub fn of(maps: &Maps, id: u64) -> Option<Throttle> {
    let entry = maps.throttled.read::<Throttle>(&id).ok().flatten();
    entry.filter(|entry| maps.state.throttles() && entry.until_ns > now_ns())
}

/// Throttles a unit that met a limit. One that is throttled already is so no longer for it: the throttle itself may be
/// what it meets.
///
/// # Errors
/// If the table is full; of the kernel.
pub fn begin(maps: &Maps, id: u64, serial: u64) -> Result<()> {
    if of(maps, id).is_some() {
        return Ok(());
    }
    let fail = |e| AgentError::kernel(Step::WriteThrottle, e);
    let label = maps.cgroups.read::<u32>(&id).map_err(fail)?.unwrap_or(0);
    let now = now_ns();
    let entry = Throttle {
        time_ns: now,
        until_ns: now + THROTTLE_NS,
        serial,
        label,
        rule: NO_RULE,
        pid: 0,
        ..Default::default()
    };
    maps.state.set_throttles();
    maps.throttled.set(id.as_bytes(), entry.as_bytes(), ANY).map_err(fail)
}

/// Ends one.
///
/// # Errors
/// Of the kernel.
pub fn forget(maps: &Maps, id: u64) -> Result<()> {
    maps.throttled.remove(id.as_bytes()).map_err(|e| AgentError::kernel(Step::WriteThrottle, e))
}

/// Whether a unit is one that the machine cannot be run without, as `kiln_keeps_the_machine()` of the kernel programs has
/// it: what its limits ask for it is told, and no more.
pub fn keeps_the_machine(unit: &str) -> bool {
    let begins = ["ssh.", "ssh@", "sshd.", "sshd@", "session-", "user@", "systemd-journald."];
    begins.iter().any(|begin| unit.starts_with(begin))
        || matches!(unit, "init.scope" | "systemd-logind.service" | "kiln-agent.service" | "kiln-load.service")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_units_are_as_the_kernel_programs_have_them() {
        for unit in
            ["sshd.service", "ssh@3-a.service", "systemd-journald.service", "user@0.service", "kiln-agent.service"]
        {
            assert!(keeps_the_machine(unit), "{unit}");
        }
        for unit in ["sshdx.service", "systemd-networkd.service", "nginx.service", "kiln-agent2.service"] {
            assert!(!keeps_the_machine(unit), "{unit}");
        }
    }
}
