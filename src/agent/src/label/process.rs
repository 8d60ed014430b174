//! A process that may be labelled.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{AgentError, FileFault, Result, Step};
use crate::machine::procfs::{Stat, cgroup_path, gone, unreadable};

/// Forked and not executed anything yet (include/linux/sched.h); proc(5) shows the flags.
const PF_FORKNOEXEC: u32 = 0x40;

/// A process as procfs shows it, held by a pidfd so that its id cannot become another's.
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// That of its parent.
    pub parent: i32,
    /// When it started, in ticks since boot.
    pub start: u64,
    /// Made by fork(2), and has not executed anything yet.
    pub forked: bool,
    /// Where its stack was put when it, or whoever it was forked from, executed its program.
    pub stack: u64,
    /// `None`: deeper than procfs can say.
    pub cgroup: Option<PathBuf>,
    /// Its program; `None` for one that is about to end.
    pub exe: Option<Vec<u8>>,
    /// The process itself.
    pub pidfd: OwnedFd,
}

impl Process {
    /// `None` if the process is gone or is a kernel thread.
    ///
    /// # Errors
    /// If it is there and cannot be looked at: it must not be passed over.
    pub fn read(proc_root: &Path, pid: i32) -> Result<Option<Process>> {
        let Some(id) = Pid::from_raw(pid) else { return Ok(None) };
        let pidfd = match pidfd_open(id, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // Invalid is a process that has ended while its number is still that of a group or session.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            Err(e) => return Err(AgentError::kernel(Step::HoldProcess(pid), e.into())),
        };
        let folder = proc_root.join(pid.to_string());
        let read = |name: &str| gone(fs::read(folder.join(name))).map_err(|e| unreadable(&folder.join(name), e));
        let Some(stat) = read("stat")? else { return Ok(None) };
        let odd = |name: &str| AgentError::Format { path: folder.join(name), fault: FileFault::Proc };
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
                Some(text) => Some(cgroup_path(&text).ok_or_else(|| odd("cgroup"))?),
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
    pub fn is_forked(&self, proc_root: &Path) -> bool {
        let stat = fs::read(proc_root.join(self.pid.to_string()).join("stat")).unwrap_or_default();
        Stat::parse(&stat).is_some_and(|stat| stat.flags & PF_FORKNOEXEC != 0)
    }

    /// Whether both may run by one execve(2). Where that may not be known, it may be.
    pub fn has_stack_of(&self, other: &Process) -> bool {
        self.stack == other.stack || self.stack == 0 || other.stack == 0
    }

    /// Whether the process still is the one that was opened.
    pub fn alive(&self) -> bool {
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
