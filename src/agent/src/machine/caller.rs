//! Who asks the agent for something.

use std::fs;

/// The process that asked, as the kernel says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its number.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Who logged in, whatever user that became since (proc(5), loginuid).
    pub login: Option<u32>,
    /// Its program's name.
    pub comm: String,
}

impl Caller {
    /// Of a process that lives.
    pub fn of(pid: u32, uid: u32) -> Caller {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        // Nobody logged in: -1.
        let login = read("loginuid").trim().parse().ok().filter(|uid| *uid != u32::MAX);
        let comm = read("comm").trim().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        Caller { pid, uid, login, comm }
    }

    /// Of this process.
    pub fn own() -> Caller {
        Caller::of(std::process::id(), rustix::process::getuid().as_raw())
    }
}
