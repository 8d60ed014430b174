//! Labels for what is there already: cgroups and tasks older than the policy that attaches to them.
//!
//! From the flip on the kernel programs label new cgroups and tasks themselves, by the same rules.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use kiln_base::abi::Kernel;
use kiln_base::abi::layout::{LABEL_HOST, LABEL_SENTINEL, S_PROFILE, Subject, T_EXEMPT, T_STARTING, Task};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::bpf::groups::Groups;
use crate::bpf::map::{ANY, Map};
use crate::bpf::word::StateWord;
use crate::error::{AgentError, Result};
use crate::label::slots::Slots;
use crate::label::tree::{self, Group, Labelled};
use crate::machine::procfs::{self, Stat, gone, unreadable};

/// systemd's own program between fork and the service's, from version 255 on.
const EXECUTOR: &[u8] = b"/usr/lib/systemd/systemd-executor";
/// Forked and not executed anything yet (include/linux/sched.h); proc(5) shows the flags.
const PF_FORKNOEXEC: u32 = 0x40;
/// Most passes over the tasks, on a machine that forks faster than it can be read.
const MAX_PASSES: usize = 16;
/// Descriptors that a pass over the tasks may need: one for each process.
const MOST_FILES: u64 = 1 << 20;

/// The rules of a generation, and the maps that hold labels.
pub struct Seeder<'a> {
    /// The tables.
    pub kernel: &'a Kernel,
    /// Their labels.
    pub slots: &'a Slots,
    /// `kiln_cgroups`.
    pub cgroups: &'a Map,
    /// Lets the programs mark what `kiln_cgroups` has: from then on tasks have their cgroup's label.
    pub mark_groups: &'a dyn Fn() -> Result<()>,
    /// `kiln_groups`.
    pub groups: &'a Groups,
    /// `kiln_state`.
    pub state: &'a StateWord,
    /// `kiln_labels`.
    pub labels: &'a Map,
    /// cgroup v2.
    pub cgroup_root: &'a Path,
    /// procfs.
    pub proc_root: &'a Path,
}

/// What was labelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seeded {
    /// cgroups whose label is new or changed.
    pub cgroups: usize,
    /// Processes whose label is new or changed.
    pub tasks: usize,
}

impl Seeder<'_> {
    /// Labels cgroups, then tasks, until a pass over the tasks finds nothing to do. Who makes new processes for ever does
    /// not keep a policy from coming: from the flip on the kernel programs label what is new.
    ///
    /// # Errors
    /// If a label cannot be set: what should be confined would not be.
    pub fn run(&self) -> Result<Seeded> {
        // As many processes as there may be; where the machine has fewer (fs.nr_open), or with fewer rights, as many as
        // this one may have.
        let files = rustix::process::Resource::Nofile;
        let limit = |most| rustix::process::Rlimit { current: most, maximum: most };
        if rustix::process::setrlimit(files, limit(Some(MOST_FILES))).is_err() {
            let _ = rustix::process::setrlimit(files, limit(rustix::process::getrlimit(files).maximum));
        }
        let mut done = Seeded::default();
        for _ in 0..MAX_PASSES {
            let mut groups = Labelled::default();
            let before = done;
            // Waits for the kernel's mutex of cgroups: a cgroup that was being made by the rules of before is then there to see.
            (self.mark_groups)()?;
            tree::walk(self.cgroup_root, &mut |group, name, inode, above, by_slice| {
                self.group(group, name, inode, above, by_slice, &mut groups, &mut done)
            })?;
            // Each time: who labelled some may have died before it could.
            (self.mark_groups)()?;
            done.tasks += self.tasks(&groups)?;
            if done == before {
                return Ok(done);
            }
        }
        crate::machine::lines::print_line(&serde_json::json!({"schema": "kiln.notice.v1", "notice": format!(
            "after {MAX_PASSES} passes there were still new processes to label; what is made from the flip on is labelled by the kernel")}));
        Ok(done)
    }

    /// The labelled cgroups as they are.
    ///
    /// # Errors
    /// As [`Seeder::run`].
    pub(super) fn labelled(&self) -> Result<Labelled> {
        let (mut groups, mut done) = (Labelled::default(), Seeded::default());
        tree::walk(self.cgroup_root, &mut |group, name, inode, above, by_slice| {
            self.group(group, name, inode, above, by_slice, &mut groups, &mut done)
        })?;
        Ok(groups)
    }

    /// What binds a process; `None` where it is gone.
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub(super) fn bound(&self, pid: i32, groups: &Labelled) -> Result<Option<Bound>> {
        let Some(process) = Process::read(self.proc_root, pid)? else { return Ok(None) };
        let (label, flags) = match self.label(&process.pidfd)? {
            Some(own) if own.flags & T_EXEMPT != 0 || own.flags & T_STARTING != 0 => (LABEL_HOST, own.flags),
            Some(own) => (own.label, own.flags),
            None => {
                let group = process.cgroup.as_ref().and_then(|path| groups.of(path));
                (group.map_or(LABEL_HOST, |group| group.label), 0)
            }
        };
        Ok(Some(Bound { label, starting: flags & T_STARTING != 0, pidfd: process.pidfd }))
    }

    /// What a label means.
    pub(super) fn subject_of(&self, label: u32) -> Option<Subject> {
        self.kernel.subject(self.subject(label))
    }

    fn subject(&self, label: u32) -> u32 {
        self.slots.slot.get(label as usize).map_or(0, |s| s.saturating_sub(1))
    }

    /// The label of the subject that a transition leads to; `label` where there is none.
    fn label_of(&self, subject: u32, label: u32) -> u32 {
        match self.slots.label_of.get(subject as usize) {
            Some(0) | None => label,
            Some(next) => *next,
        }
    }

    /// Whether a label's subject has a profile, which is kept for ever.
    fn settled(&self, label: u32) -> bool {
        let flags = self.kernel.subject(self.subject(label)).map_or(S_PROFILE, |s| s.flags);
        label == LABEL_SENTINEL || flags & S_PROFILE != 0
    }

    fn after_unit(&self, label: u32, name: &[u8]) -> u32 {
        if self.settled(label) {
            label
        } else {
            self.label_of(self.kernel.after_unit(self.subject(label), name), label)
        }
    }

    fn after_exec(&self, label: u32, path: &[u8]) -> u32 {
        if self.settled(label) {
            label
        } else {
            self.label_of(self.kernel.after_exec(self.subject(label), path), label)
        }
    }

    /// What a process with a label that has no profile becomes in a labelled cgroup: its own guards, and what the unit
    /// brings. As `kiln_joined` of the kernel programs.
    fn joined(&self, label: u32, group: &Group) -> u32 {
        if group.label == label {
            return label;
        }
        let next = group.unit.as_deref().map_or(label, |unit| self.after_unit(label, unit));
        if next == label && self.settled(group.label) { LABEL_SENTINEL } else { next }
    }

    /// Labels one cgroup. Only below slices do names count as units, since a delegated subtree may call its cgroups as it
    /// likes.
    #[allow(clippy::too_many_arguments)]
    fn group(
        &self,
        path: &Path,
        name: &[u8],
        inode: u64,
        above: Option<&Group>,
        by_slice: bool,
        groups: &mut Labelled,
        done: &mut Seeded,
    ) -> Result<Option<Group>> {
        let key = inode.to_ne_bytes();
        let current = self.cgroups.get(&key).map_err(|e| AgentError::kernel("cannot read cgroup labels", e))?;
        let current = current.and_then(|v| v.try_into().ok()).map(u32::from_ne_bytes);
        let label = match (current, above) {
            (Some(label), _) if self.settled(label) => label,
            (_, Some(above)) => above.label,
            _ if by_slice => self.after_unit(current.unwrap_or(LABEL_HOST), name),
            _ => current.unwrap_or(LABEL_HOST),
        };
        // What is below a unit's has its label without more.
        if let (None, Some(above)) = (current, above.filter(|a| a.label == label)) {
            return Ok(Some(above.clone()));
        }
        let changed = label != LABEL_HOST && current != Some(label);
        if changed {
            self.cgroups
                .set(&key, &label.to_ne_bytes(), ANY)
                .map_err(|e| AgentError::kernel(format!("cannot label {}", path.display()), e))?;
            done.cgroups += 1;
        }
        let group = Group { label, changed, unit: by_slice.then(|| name.into()) };
        let group = (label != LABEL_HOST).then_some(group);
        groups.by_path.extend(group.clone().map(|group| (path.to_owned(), group)));
        Ok(group)
    }

    /// One pass over all processes, parents first; returns how many labels it changed.
    ///
    /// A process has its cgroup's label without more; its own is for what differs from that, or while the kernel may
    /// move it without the programs' seeing it.
    fn tasks(&self, groups: &Labelled) -> Result<usize> {
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
            let own = self.label(&process.pidfd)?;
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
                Some(group) if !self.settled(label) => self.joined(label, group),
                _ => label,
            };
            // PID 1 between fork and exec: its program is not yet the service's. As `kiln_is_managers` of the kernel
            // programs: who executed anything is no such process, though it were PID 1's own program.
            let starting = process.parent == 1
                && process.forked
                && process.exe.is_some()
                && manager.is_some_and(|m| m.exe == process.exe && m.has_stack_of(process));
            if let Some(exe) = process.exe.as_deref().filter(|_| !starting) {
                next = self.after_exec(next, exe);
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

    /// The label of a process by its pidfd.
    fn label(&self, pidfd: &OwnedFd) -> Result<Option<Task>> {
        let value = match self.labels.get(&pidfd.as_raw_fd().to_ne_bytes()) {
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => None,
            other => other.map_err(|e| AgentError::kernel("cannot read a process's label", e))?,
        };
        Ok(value.and_then(|v| {
            let (label, flags) = v.split_first_chunk::<4>()?;
            Some(Task { label: u32::from_ne_bytes(*label), flags: u32::from_ne_bytes(*flags.first_chunk()?) })
        }))
    }

    /// Gives a process a label of its own, if it lives.
    fn give(&self, process: &Process, task: Task) -> Result<()> {
        match set_label(self.labels, &process.pidfd, task) {
            Err(e) if process.alive() => Err(AgentError::kernel(format!("cannot label process {}", process.pid), e)),
            _ => Ok(()),
        }
    }
}

/// What binds a process.
pub(super) struct Bound {
    /// Its label.
    pub label: u32,
    /// PID 1's own code runs in it still.
    pub starting: bool,
    /// The process.
    pub pidfd: OwnedFd,
}

/// Labels a process (its leader; the kernel programs look there for threads without a label of their own).
///
/// # Errors
/// Of the kernel; `ESRCH` if the process is gone.
pub fn set_label(labels: &Map, pidfd: &OwnedFd, task: Task) -> io::Result<()> {
    let mut value = [0; 8];
    value[..4].copy_from_slice(&task.label.to_ne_bytes());
    value[4..].copy_from_slice(&task.flags.to_ne_bytes());
    labels.set(&pidfd.as_raw_fd().to_ne_bytes(), &value, ANY)
}

/// A process as procfs shows it, held by a pidfd so that its id cannot become another's.
struct Process {
    pid: i32,
    parent: i32,
    start: u64,
    /// Made by fork(2), and has not executed anything yet.
    forked: bool,
    /// Where its stack was put when it, or whoever it was forked from, executed its program.
    stack: u64,
    /// `None`: deeper than procfs can say.
    cgroup: Option<PathBuf>,
    exe: Option<Vec<u8>>,
    pidfd: OwnedFd,
}

impl Process {
    /// `None` if the process is gone or is a kernel thread.
    ///
    /// # Errors
    /// If it is there and cannot be looked at: it must not be passed over.
    fn read(proc_root: &Path, pid: i32) -> Result<Option<Process>> {
        let Some(id) = Pid::from_raw(pid) else { return Ok(None) };
        let pidfd = match pidfd_open(id, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // Invalid is a process that has ended while its number is still that of a group or session.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            Err(e) => return Err(AgentError::kernel(format!("cannot hold process {pid}"), e.into())),
        };
        let folder = proc_root.join(pid.to_string());
        let read = |name: &str| gone(fs::read(folder.join(name))).map_err(|e| unreadable(&folder.join(name), e));
        let Some(stat) = read("stat")? else { return Ok(None) };
        let odd = |name: &str| AgentError::Format { path: folder.join(name), reason: "not as proc(5) has it".into() };
        let Stat { parent, flags, start, stack } = Stat::parse(&stat).ok_or_else(|| odd("stat"))?;
        // Kernel threads have no program; a process that is about to end has none any more.
        let (mut exe, mut home) = (program(&folder), folder.clone());
        if exe.is_none() {
            // The first thread may have ended before the others, which still run the program, and live where it may
            // never have been.
            let threads = gone(fs::read_dir(folder.join("task"))).map_err(|e| unreadable(&folder, e))?;
            let mut threads = threads.into_iter().flatten().flatten().map(|thread| thread.path());
            if let Some((found, thread)) = threads.find_map(|path| Some((program(&path)?, path))) {
                (exe, home) = (Some(found), thread);
            }
        }
        let mut text = fs::read(home.join("cgroup"));
        // That thread may have ended meanwhile, too.
        if home != folder && text.as_ref().is_err_and(|e| e.raw_os_error() != Some(libc::ENAMETOOLONG)) {
            text = fs::read(folder.join("cgroup"));
        }
        let cgroup = match text {
            Err(e) if e.raw_os_error() == Some(libc::ENAMETOOLONG) => None,
            other => match gone(other).map_err(|e| unreadable(&folder.join("cgroup"), e))? {
                Some(text) => Some(procfs::cgroup_path(&text).ok_or_else(|| odd("cgroup"))?),
                None => return Ok(None),
            },
        };
        if exe.is_none() && parent == 2 || pid == 2 {
            return Ok(None);
        }
        let forked = flags & PF_FORKNOEXEC != 0;
        let process = Process { pid, parent, start, forked, stack, cgroup, exe, pidfd };
        Ok(process.alive().then_some(process))
    }

    /// Whether it has not executed anything yet, now.
    fn is_forked(&self, proc_root: &Path) -> bool {
        let stat = fs::read(proc_root.join(self.pid.to_string()).join("stat")).unwrap_or_default();
        Stat::parse(&stat).is_some_and(|stat| stat.flags & PF_FORKNOEXEC != 0)
    }

    /// Whether both may run by one execve(2). Where that may not be known, it may be.
    fn has_stack_of(&self, other: &Process) -> bool {
        self.stack == other.stack || self.stack == 0 || other.stack == 0
    }

    /// Whether the process still is the one that was opened.
    fn alive(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        // A pidfd becomes readable when its process ends (pidfd_open(2)).
        matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }
}

/// The program of a process or thread. One whose path is longer than procfs can say has an empty one here, which no
/// selector matches, as the kernel programs have it.
fn program(folder: &Path) -> Option<Vec<u8>> {
    match fs::read_link(folder.join("exe")) {
        Ok(path) => {
            let bytes = path.into_os_string().into_encoded_bytes();
            Some(bytes.strip_suffix(b" (deleted)").map_or(bytes.clone(), <[u8]>::to_vec))
        }
        Err(e) => gone::<()>(Err(e)).is_err().then(Vec::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_alive_with_its_program() {
        let me = Process::read(Path::new("/proc"), std::process::id() as i32).unwrap().unwrap();
        assert!(me.alive());
        assert_eq!(
            me.exe.as_deref(),
            std::env::current_exe().ok().map(|p| p.into_os_string().into_encoded_bytes()).as_deref()
        );
        assert!(Process::read(Path::new("/proc"), i32::MAX).unwrap().is_none());
    }

    #[test]
    fn a_number_that_only_a_group_bears_is_no_process() {
        use std::os::unix::process::CommandExt;
        use std::process::{Command, Stdio};
        // The leader ends, and a child stays in its group.
        let mut leader = Command::new("/bin/sh")
            .args(["-c", "sleep 100 >&- & echo $!"])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let number = leader.id() as i32;
        let mut said = String::new();
        std::io::Read::read_to_string(&mut leader.stdout.take().unwrap(), &mut said).unwrap();
        leader.wait().unwrap();
        let found = Process::read(Path::new("/proc"), number).map(|process| process.is_none());
        let child = Pid::from_raw(said.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
        assert!(found.unwrap());
    }
}
