//! Which label each process has now. Reads only: what the kernel programs go by, for people to look at.

use std::path::Path;

use kiln_base::abi::layout::{LABEL_HOST, T_EXEMPT, T_STARTING};
use kiln_base::model::unit_of_cgroup;

use crate::bpf::map::Map;
use crate::error::{AgentError, Result, Step};
use crate::label::bearer::Labels;
use crate::label::process::Process;
use crate::label::tree::{self, Group, Labelled};
use crate::machine::procfs::{gone, unreadable};

/// A process that a label binds.
pub struct Bound {
    /// The process.
    pub process: Process,
    /// Its label.
    pub label: u32,
    /// It bears the label itself; else it has it by its cgroup.
    pub own: bool,
    /// systemd's own code runs in it still.
    pub starting: bool,
}

impl Bound {
    /// The unit in whose cgroup it is.
    pub fn unit(&self) -> Option<String> {
        self.process.cgroup.as_deref().and_then(unit)
    }
}

/// The unit of a cgroup: the first below the slices.
pub fn unit(cgroup: &Path) -> Option<String> {
    let mut names = cgroup.iter().filter_map(|part| part.to_str()).filter(|n| *n != "/" && !n.ends_with(".slice"));
    names.next().map(|name| unit_of_cgroup(name).to_owned())
}

/// The cgroups that have labels.
///
/// # Errors
/// If one cannot be read.
pub fn groups(cgroups: &Map, root: &Path) -> Result<Labelled> {
    let mut labelled = Labelled::default();
    tree::walk(root, &mut |seen| {
        let label = cgroups.read::<u32>(&seen.inode).map_err(|e| AgentError::kernel(Step::ReadCgroupLabels, e))?;
        let Some(label) = label.filter(|label| *label != 0) else { return Ok(seen.above.cloned()) };
        let group = Group { label, changed: false, unit: seen.by_slice.then(|| seen.name.into()) };
        labelled.by_path.insert(seen.path.to_owned(), group.clone());
        Ok(Some(group))
    })?;
    Ok(labelled)
}

/// The label of one process.
///
/// # Errors
/// Of the kernel.
pub fn bound(process: Process, labels: Labels<'_>, groups: &Labelled) -> Result<Option<Bound>> {
    let (label, own, starting) = match labels.of(&process.pidfd)? {
        Some(own) if own.flags & T_EXEMPT != 0 => return Ok(None),
        Some(own) if own.label != 0 => (own.label, true, own.flags & T_STARTING != 0),
        _ => match process.cgroup.as_deref().and_then(|path| groups.of(path)) {
            Some(group) => (group.label, false, false),
            None => return Ok(None),
        },
    };
    Ok((label != LABEL_HOST).then_some(Bound { process, label, own, starting }))
}

/// Every process that has a label, by its number.
///
/// # Errors
/// If one cannot be looked at.
pub fn all(labels: Labels<'_>, groups: &Labelled, proc_root: &Path) -> Result<Vec<Bound>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(proc_root).map_err(|e| unreadable(proc_root, e))? {
        let Some(entry) = gone(entry).map_err(|e| unreadable(proc_root, e))? else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let Some(process) = Process::read(proc_root, pid)? else { continue };
        found.extend(bound(process, labels, groups)?);
    }
    found.sort_by_key(|bound| bound.process.pid);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_first_below_the_slices() {
        for (path, name) in [
            ("/system.slice/a.service/sub/b.service", Some("a.service")),
            ("/system.slice/system-x.slice/_cpu.service", Some("cpu.service")),
            ("/init.scope", Some("init.scope")),
            ("/", None),
            ("/system.slice", None),
        ] {
            assert_eq!(unit(Path::new(path)).as_deref(), name);
        }
    }
}
