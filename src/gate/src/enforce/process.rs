//! The process that a request means, held by a pidfd so that it cannot become another one.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::engine::Request;

/// Clock ticks of `/proc/PID/stat` in a second: USER_HZ, 100 on every Linux ABI.
const TICK_NS: u64 = 10_000_000;

/// `PF_KTHREAD` of include/linux/sched.h, in field 9 of `/proc/PID/stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// The process cannot be acted on.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It has ended.
    #[error("process {0} is gone")]
    Gone(u32),
    /// `/proc` does not say what it should.
    #[error("/proc/{0}/{1} cannot be understood")]
    Proc(u32, &'static str),
    /// The pid belongs to another process now.
    #[error(
        "pid {pid} was reused: the event means a process that started at {wanted} ns, this one started at {found} ns"
    )]
    Reused {
        /// The pid.
        pid: u32,
        /// Start time in the event.
        wanted: u64,
        /// Start time now.
        found: u64,
    },
    /// Without a start time only the name can tell, and it differs.
    #[error("pid {pid} is {found:?} and not {wanted:?}: it was reused, or the process has changed its name")]
    OtherName {
        /// The pid.
        pid: u32,
        /// Name in the event.
        wanted: String,
        /// Name now.
        found: String,
    },
    /// The kernel refused.
    #[error("pidfd of {0}: {1}")]
    Kernel(u32, rustix::io::Errno),
}

/// A living process.
#[derive(Debug)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// Its name, at most 15 bytes.
    pub comm: String,
    /// Its start in nanoseconds after boot, to 10 ms.
    pub start_ns: u64,
    /// Whether it is a thread of the kernel.
    pub is_kernel: bool,
    /// Its control group, from the root of the hierarchy.
    pub cgroup: String,
    /// Its executable, if it is the system's own: on the host's file system and of no container, and root's file.
    pub program: Option<PathBuf>,
    fd: OwnedFd,
}

/// The executable of a process that lives where the first process does, in no container, and whose file is root's.
pub(super) fn system_program(pid: u32) -> Option<PathBuf> {
    let link = |of: &str, name: &str| fs::read_link(format!("/proc/{of}/{name}")).ok();
    let root = |of: &str| fs::metadata(format!("/proc/{of}/root/.")).ok().map(|meta| (meta.dev(), meta.ino()));
    let own = pid.to_string();
    // Where the first process may not be looked at, this one stands for it: the gate runs on the host.
    let first = if link("1", "ns/pid").is_some() { "1" } else { "self" };
    if link(&own, "ns/pid")? != link(first, "ns/pid")? || root(&own)? != root(first)? {
        return None;
    }
    let exe = link(&own, "exe")?;
    let meta = fs::metadata(format!("/proc/{own}/exe")).ok()?;
    // Not of root, or writable by others: anybody's file of that name.
    (meta.uid() == 0 && meta.mode() & 0o022 == 0).then_some(exe)
}

/// What `/proc/PID/stat` says: name, parent, flags, start.
fn stat(pid: u32) -> Result<(String, u32, u64, u64), ProcessError> {
    let text = fs::read(format!("/proc/{pid}/stat")).map_err(|_| ProcessError::Gone(pid))?;
    let text = String::from_utf8_lossy(&text);
    let parse = || {
        // The name is in parentheses and may hold some itself.
        let (open, close) = (text.find('(')?, text.rfind(')')?);
        let fields: Vec<&str> = text.get(close + 1..)?.split_ascii_whitespace().collect();
        let ticks: u64 = fields.get(19)?.parse().ok()?;
        Some((
            text.get(open + 1..close)?.to_owned(),
            fields.get(1)?.parse().ok()?,
            fields.get(6)?.parse().ok()?,
            ticks.checked_mul(TICK_NS)?,
        ))
    };
    parse().ok_or(ProcessError::Proc(pid, "stat"))
}

/// The control group of a process in the unified hierarchy.
pub(super) fn cgroup_of(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

impl Process {
    /// Opens the process that has this pid now.
    ///
    /// # Errors
    /// There is none, or `/proc` cannot be read.
    pub fn open(pid: u32) -> Result<Process, ProcessError> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(ProcessError::Gone(pid))?;
        let fd = pidfd_open(raw, PidfdFlags::empty()).map_err(|errno| match errno {
            rustix::io::Errno::SRCH => ProcessError::Gone(pid),
            other => ProcessError::Kernel(pid, other),
        })?;
        let (comm, parent, flags, start_ns) = stat(pid)?;
        let cgroup = cgroup_of(pid).ok_or(ProcessError::Proc(pid, "cgroup"))?;
        let is_kernel = flags & KERNEL_THREAD != 0;
        let program = system_program(pid);
        let process = Process { pid, parent, comm, start_ns, is_kernel, cgroup, program, fd };
        // Read while the pidfd's process lived: had it ended before, the numbers could be another's.
        process.still_lives()?;
        Ok(process)
    }

    /// Checks that the process behind the pidfd has not ended, so that its pid still means it.
    ///
    /// # Errors
    /// [`ProcessError::Gone`].
    pub fn still_lives(&self) -> Result<(), ProcessError> {
        // Signal 0 is not representable here; polling a pidfd tells the same: readable once the process has ended.
        let mut polled = [rustix::event::PollFd::new(&self.fd, rustix::event::PollFlags::IN)];
        let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        match rustix::event::poll(&mut polled, Some(&zero)) {
            Ok(0) => Ok(()),
            _ => Err(ProcessError::Gone(self.pid)),
        }
    }

    /// Checks that this is the process that the event means: by its start time, or, where the event has none, by name.
    ///
    /// # Errors
    /// It is another one.
    pub fn is_the_one(&self, request: &Request) -> Result<(), ProcessError> {
        if let Some(wanted) = request.start_time_ns {
            // Sources count from boot (Kiln) or from 1970 (Falco, Tetragon); no machine runs for thirty years.
            let (wanted_boot, slack) = match wanted > 1_000_000_000_000_000_000 {
                true => (wanted.saturating_sub(boot_time_ns()), 2_000_000_000),
                false => (wanted, 2 * TICK_NS),
            };
            if wanted_boot.abs_diff(self.start_ns) > slack {
                return Err(ProcessError::Reused { pid: self.pid, wanted: wanted_boot, found: self.start_ns });
            }
            return Ok(());
        }
        let short = |name: &str| name.chars().take(15).collect::<String>();
        if short(&request.process_name).eq_ignore_ascii_case(&short(&self.comm)) {
            return Ok(());
        }
        Err(ProcessError::OtherName { pid: self.pid, wanted: request.process_name.clone(), found: self.comm.clone() })
    }

    /// Ends exactly this process.
    ///
    /// # Errors
    /// The kernel's.
    pub fn kill(&self) -> Result<(), ProcessError> {
        match pidfd_send_signal(&self.fd, Signal::KILL) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::SRCH) => Err(ProcessError::Gone(self.pid)),
            Err(errno) => Err(ProcessError::Kernel(self.pid, errno)),
        }
    }

    /// Pids of the ancestors, nearest first, up to pid 1.
    pub fn ancestors(pid: u32) -> Vec<u32> {
        let (mut list, mut next) = (Vec::new(), pid);
        while let Ok((_, parent, _, _)) = stat(next) {
            if parent == 0 || list.contains(&parent) || list.len() > 64 {
                break;
            }
            list.push(parent);
            next = parent;
        }
        list
    }
}

/// The time of boot in nanoseconds since 1970.
fn boot_time_ns() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let ns = |clock| {
        let time = clock_gettime(clock);
        (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
    };
    ns(ClockId::Realtime).saturating_sub(ns(ClockId::Boottime))
}
