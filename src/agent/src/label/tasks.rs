//! Labels of processes that are older than the policy that attaches to them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kiln_base::abi::layout::{LABEL_HOST, T_EXEMPT, T_STARTING, Task};

use crate::bpf::groups::Groups;
use crate::bpf::word::StateWord;
use crate::error::{AgentError, Result, Step};
use crate::label::bearer::Labels;
use crate::label::process::Process;
use crate::label::rules::Rules;
use crate::label::tree::{self, Labelled};
use crate::machine::procfs::{gone, unreadable};

/// systemd's own program between fork and the service's, from version 255 on.
const EXECUTOR: &[u8] = b"/usr/lib/systemd/systemd-executor";

/// One pass over all processes.
pub struct Pass<'a> {
    /// What labels mean.
    pub rules: Rules<'a>,
    /// `kiln_labels`.
    pub labels: Labels<'a>,
    /// `kiln_groups`.
    pub groups: &'a Groups,
    /// `kiln_state`.
    pub state: &'a StateWord,
    /// cgroup v2.
    pub cgroup_root: &'a Path,
    /// procfs.
    pub proc_root: &'a Path,
}

impl Pass<'_> {
    /// One pass over all processes, parents first; returns how many labels it changed.
    ///
    /// A process has its cgroup's label without more; its own is for what differs from that, or while the kernel may
    /// move it without the programs' seeing it.
    pub fn run(&self, groups: &Labelled) -> Result<usize> {
        let mut processes = Vec::new();
        let mut deep = None;
        for entry in fs::read_dir(self.proc_root).map_err(|e| unreadable(self.proc_root, e))? {
            let Some(entry) = gone(entry).map_err(|e| unreadable(self.proc_root, e))? else { continue };
            let pid = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok());
            let Some(pid) = pid else { continue };
            processes.extend(Process::read(self.proc_root, pid)?);
        }
        processes.sort_by_key(|p| (p.start, p.pid));
        let manager = processes.iter().find(|p| p.pid == 1);
        let mut now: BTreeMap<i32, u32> = BTreeMap::new();
        let mut changed = 0;
        for process in &processes {
            let own = self.labels.of(&process.pidfd)?;
            let group = match &process.cgroup {
                Some(path) => groups.of(path),
                // Deeper than procfs can say: then it is looked for where the cgroups say who is in them.
                None => match &deep {
                    Some(deep) => deep,
                    None => deep.insert(tree::deep(self.cgroup_root, groups)?),
                }
                .get(&process.pid)
                .cloned()
                .flatten(),
            };
            // PID 1 and the agent are what confinement comes from: whoever may write a cgroup's files can pull them in.
            if process.pid == 1 || process.pid.cast_unsigned() == std::process::id() {
                if own.is_none() {
                    self.give(process, Task { label: 0, flags: T_EXEMPT })?;
                }
                continue;
            }
            let bare = own.is_none();
            let own = own.filter(|t| t.label != 0);
            // Had before this pass.
            let label = match (own, &group) {
                (Some(own), _) => own.label,
                (None, Some(group)) if !group.changed => group.label,
                _ => LABEL_HOST,
            };
            let mut next = match &group {
                Some(group) if own.is_none() => group.label,
                Some(group) if !self.rules.settled(label) => self.rules.joined(label, group),
                _ => label,
            };
            // PID 1 between fork and exec: its program is not yet the service's. As `kiln_is_managers` of the kernel
            // programs: who executed anything is no such process, though it were PID 1's own program.
            let starting = process.parent == 1
                && process.forked
                && process.exe.is_some()
                && manager.is_some_and(|m| m.exe == process.exe && m.has_stack_of(process));
            if let Some(exe) = process.exe.as_deref().filter(|_| !starting) {
                next = self.rules.after_exec(next, exe);
            }
            if own.is_none() && next == LABEL_HOST {
                next = now.get(&process.parent).copied().unwrap_or(LABEL_HOST);
            }
            now.insert(process.pid, next);
            if !process.alive() {
                continue;
            }
            changed += usize::from(next != label);
            if let Some(own) = own.filter(|t| t.label == next) {
                // What it executed while nothing was enforced, the programs did not take note of.
                if own.flags & T_STARTING != 0 && !starting && process.exe.as_deref() != Some(EXECUTOR) {
                    self.give(process, Task { label: next, flags: 0 })?;
                }
                continue;
            }
            // Who came to a cgroup that had its label was seen by the programs then, if it was starting.
            let starting = starting && group.as_ref().is_none_or(|g| g.changed);
            let by_group = bare && group.as_ref().is_some_and(|g| g.label == next);
            if by_group && !starting && self.state.moves_seen() || own.is_none() && next == LABEL_HOST {
                continue;
            }
            // Where tasks are seen before they leave their cgroup, the programs take note then.
            if group.is_none() || !self.state.moves_seen() {
                self.groups.strays();
                self.state.set_strays();
            }
            self.give(process, Task { label: next, flags: if starting { T_STARTING } else { 0 } })?;
            // It may have executed its program since it was read.
            if starting && !process.is_forked(self.proc_root) {
                self.give(process, Task { label: next, flags: 0 })?;
            }
        }
        Ok(changed)
    }

    /// Gives a process a label of its own, if it lives.
    fn give(&self, process: &Process, task: Task) -> Result<()> {
        match self.labels.set(&process.pidfd, task) {
            Err(e) if process.alive() => Err(AgentError::kernel(Step::LabelProcess(process.pid), e)),
            _ => Ok(()),
        }
    }
}
