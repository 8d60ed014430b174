//! A harmless denial that really happens: the proof that the kernel refuses by the tables that were just made active.
//!
//! A child process is given the sentinel's label, which every generation denies everything, and tries one operation of
//! a verb that the policy has hooks for.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use kiln_base::abi::layout::{Header, LABEL_SENTINEL, Task};
use kiln_base::model::Verb;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{AgentError, Result, Step, Unproven};
use crate::label::bearer::Labels;

/// What the child tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// open(2) of `/` for reading.
    Read,
    /// mkdir(2) of a name that the agent removes again if it is made.
    Create,
    /// execve(2) of the agent with `--version`.
    Exec,
    /// connect(2) of a UDP socket to loopback: no packet leaves.
    Connect,
    /// bind(2) of a UDP socket to loopback, any port.
    Bind,
    /// bpf(2): always watched, so there is always something to try.
    Bpf,
}

/// Each attempt but bpf(2), by its verb; the first that a policy has hooks for is taken.
const BY_VERB: [(Verb, Attempt); 5] = [
    (Verb::Read, Attempt::Read),
    (Verb::Create, Attempt::Create),
    (Verb::Exec, Attempt::Exec),
    (Verb::Connect, Attempt::Connect),
    (Verb::Bind, Attempt::Bind),
];

impl Attempt {
    /// What it does; none: bpf(2).
    fn verb(self) -> Option<Verb> {
        BY_VERB.iter().find(|(_, attempt)| *attempt == self).map(|(verb, _)| *verb)
    }

    /// The first that a policy with these hooks refuses.
    pub fn choose(header: &Header) -> Attempt {
        let has = |verb: Verb| header.required_hooks_lo & 1 << verb as u8 != 0;
        BY_VERB.into_iter().find(|(verb, _)| has(*verb)).map_or(Attempt::Bpf, |(_, attempt)| attempt)
    }
}

const MADE: &std::ffi::CStr = c"/run/kiln/sentinel";
const ROOT: &std::ffi::CStr = c"/";
const SELF: &std::ffi::CStr = c"/proc/self/exe";

/// Exit statuses of the child.
const REFUSED: i32 = 0;
const PERMITTED: i32 = 1;
const OTHER: i32 = 2;

/// Lets a child try, and returns its process id after it was refused by EPERM.
///
/// # Errors
/// If the child could not be made, was not refused, or was refused by something else.
pub fn provoke(labels: Labels<'_>, attempt: Attempt) -> Result<u32> {
    let fail = |e: io::Error| AgentError::kernel(Step::MakeSentinel, e);
    let (go_read, go_write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| fail(e.into()))?;
    // SAFETY: the child makes system calls only (`child` below), so no lock of another thread can be needed.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(fail(io::Error::last_os_error()));
    }
    if pid == 0 {
        child(go_read.as_raw_fd(), go_write.as_raw_fd(), attempt);
    }
    drop(go_read);
    let labelled = label(labels, pid);
    if labelled.is_ok() {
        let _ = rustix::io::write(&go_write, &[1]);
    }
    // Without the byte the child reads the end of the pipe and does nothing.
    drop(go_write);
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` is writable.
    while unsafe { libc::waitpid(pid, &mut status, 0) } < 0 {
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(fail(e));
        }
    }
    labelled?;
    match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
        (true, REFUSED) => Ok(pid as u32),
        (true, PERMITTED) => {
            if attempt == Attempt::Create {
                let _ = std::fs::remove_dir("/run/kiln/sentinel");
            }
            Err(Unproven::Permitted(attempt.verb()).into())
        }
        // A policy may kill what it refuses.
        (false, _) if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL => Ok(pid as u32),
        _ => Err(Unproven::Otherwise(status).into()),
    }
}

fn label(labels: Labels<'_>, pid: i32) -> Result<()> {
    let fail = |e: io::Error| AgentError::kernel(Step::LabelSentinel, e);
    let pid = Pid::from_raw(pid).ok_or_else(|| fail(io::ErrorKind::InvalidInput.into()))?;
    let pidfd: OwnedFd = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| fail(e.into()))?;
    labels.set(&pidfd, Task { label: LABEL_SENTINEL, flags: 0 }).map_err(fail)
}

/// The child: waits for its label, tries, exits. System calls only.
fn child(go_read: i32, go_write: i32, attempt: Attempt) -> ! {
    // SAFETY: async-signal-safe calls on descriptors and static strings; nothing returns from here.
    unsafe {
        libc::close(go_write);
        let mut byte = 0u8;
        if libc::read(go_read, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(OTHER);
        }
        let ret = match attempt {
            Attempt::Read => libc::open(ROOT.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC),
            Attempt::Create => libc::mkdir(MADE.as_ptr(), 0o700),
            Attempt::Exec => {
                let args = [SELF.as_ptr(), c"--version".as_ptr(), std::ptr::null()];
                let env = [std::ptr::null()];
                libc::execve(SELF.as_ptr(), args.as_ptr(), env.as_ptr())
            }
            Attempt::Connect | Attempt::Bind => {
                let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
                let mut address: libc::sockaddr_in = std::mem::zeroed();
                address.sin_family = libc::AF_INET as _;
                address.sin_addr.s_addr = u32::from(Ipv4Addr::LOCALHOST).to_be();
                let len = size_of_val(&address) as u32;
                if socket < 0 {
                    socket
                } else if attempt == Attempt::Connect {
                    address.sin_port = 9u16.to_be();
                    libc::connect(socket, (&raw const address).cast(), len)
                } else {
                    libc::bind(socket, (&raw const address).cast(), len)
                }
            }
            Attempt::Bpf => {
                // BPF_PROG_GET_NEXT_ID of linux/bpf.h, with a zeroed attribute.
                let attr = [0u64; 16];
                libc::syscall(libc::SYS_bpf, 11, attr.as_ptr(), 16) as i32
            }
        };
        let status = match ret {
            r if r >= 0 => PERMITTED,
            _ if *libc::__errno_location() == libc::EPERM => REFUSED,
            _ => OTHER,
        };
        libc::_exit(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_can_always_be_tried() {
        let mut header: Header = crate::load::hooks::test_header(0, 0);
        assert_eq!(Attempt::choose(&header), Attempt::Bpf);
        header.required_hooks_lo = 1 << Verb::Connect as u8 | 1 << Verb::Bind as u8;
        assert_eq!(Attempt::choose(&header), Attempt::Connect);
        header.required_hooks_lo |= 1 << Verb::Read as u8;
        assert_eq!(Attempt::choose(&header), Attempt::Read);
    }
}
