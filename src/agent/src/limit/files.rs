//! Descriptors of processes that ran before the limit came: systemd sets the limit of what it starts, and children have
//! their parent's.

use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::limit::bound;
use crate::limit::manager::Settings;

/// How often a unit is looked through for processes that were forked meanwhile.
const PASSES: usize = 16;

/// Holds every process of a unit to `most` descriptors. What it has open it keeps.
pub fn hold(cgroup: &Path, most: u64) {
    for _ in 0..PASSES {
        let wide = bound::processes(cgroup).into_iter().filter(|pid| lower(*pid, most)).count();
        if wide == 0 {
            return;
        }
    }
}

/// Whether a process had more.
fn lower(pid: i32, most: u64) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return false };
    let least = |now: Option<u64>| Some(now.map_or(most, |now| now.min(most)));
    // Setting gives back what was: first a look, by setting nothing wider than the least.
    let Ok(now) = limit(pid) else { return false };
    let wanted = Rlimit { current: least(now.current), maximum: least(now.maximum) };
    wanted != now && prlimit(Some(pid), Resource::Nofile, wanted).is_ok()
}

/// Gives the processes of a unit that a limit holds what the unit itself says.
pub fn give_back(cgroup: &Path, most: u64, own: &Settings) {
    for pid in bound::processes(cgroup).into_iter().filter_map(Pid::from_raw) {
        if limit(pid).is_ok_and(|now| now.maximum.is_some_and(|hard| hard == most)) {
            let own = Rlimit { current: own.files_soft, maximum: own.files };
            // Who ended meanwhile needs none.
            let _ = prlimit(Some(pid), Resource::Nofile, own);
        }
    }
}

fn limit(pid: Pid) -> std::io::Result<Rlimit> {
    let text = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero()))?;
    parse(&text).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

fn parse(text: &str) -> Option<Rlimit> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut words = line.split_ascii_whitespace();
    let mut next = || words.next().map(|word| word.parse().ok());
    Some(Rlimit { current: next()?, maximum: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 unlimited            files     \n";
        assert_eq!(parse(text), Some(Rlimit { current: Some(1024), maximum: None }));
        assert_eq!(parse("Max open files"), None);
    }
}
