//! Who asked: unit and program of an event's process, which the kernel programs do not send along.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kiln_base::abi::layout::TICK;
use kiln_base::event::{Violation, escape};

use crate::label::{tree, who};
use crate::machine::procfs::{Stat, cgroup_path};

/// Most cgroups whose unit is remembered: their ids are never used again.
const MOST: usize = 4096;
/// A cgroup without a process to ask is searched for in the whole tree at most this often: a flood must not be slow.
const PAUSE: Duration = Duration::from_secs(1);

/// Where processes and cgroups are, and what was found.
#[derive(Debug)]
pub struct Askers {
    proc: PathBuf,
    cgroups: PathBuf,
    units: BTreeMap<u64, Option<String>>,
    searched: Option<Instant>,
}

impl Askers {
    /// With the places of procfs and cgroup v2.
    pub fn new(proc: &Path, cgroups: &Path) -> Askers {
        Askers { proc: proc.to_owned(), cgroups: cgroups.to_owned(), units: BTreeMap::new(), searched: None }
    }

    /// Names unit and program, as far as they can be found. An event that came in nobody's own context (a packet that
    /// arrives) has only the process's number, and gets the rest here.
    pub fn name(&mut self, event: &mut Violation) {
        let folder = self.proc.join(event.pid.to_string());
        let stat = fs::read(folder.join("stat")).ok().and_then(|text| Stat::parse(&text));
        let Some(stat) = stat.filter(|stat| event.start_time_ns == 0 || stat.start == event.start_time_ns / TICK)
        else {
            event.unit = self.unit(event.cgroup_id, None);
            return;
        };
        // Read where it is needed: a flood must not be slow.
        let wanted = event.start_time_ns == 0 || !self.units.contains_key(&event.cgroup_id);
        let cgroup = wanted.then(|| fs::read(folder.join("cgroup")).ok()).flatten().and_then(|text| cgroup_path(&text));
        if event.start_time_ns == 0 {
            event.start_time_ns = stat.start.saturating_mul(TICK);
            event.ppid = u32::try_from(stat.parent).unwrap_or(0);
            let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
            event.comm = escape(text("comm").trim_end_matches('\n').as_bytes());
            let uid = text("status")
                .lines()
                .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok());
            event.uid = uid.unwrap_or(event.uid);
            event.cgroup_id = cgroup.as_deref().and_then(|path| self.id(path)).unwrap_or(0);
        }
        event.unit = self.unit(event.cgroup_id, cgroup.as_deref());
        event.exe = fs::read_link(folder.join("exe")).ok().map(|path| escape(path.as_os_str().as_bytes()));
    }

    fn id(&self, cgroup: &Path) -> Option<u64> {
        let below = cgroup.strip_prefix("/").ok()?;
        fs::metadata(self.cgroups.join(below)).ok().map(|found| found.ino())
    }

    /// The unit of a cgroup. `hint`: where its process is now, which may be elsewhere than it was.
    fn unit(&mut self, id: u64, hint: Option<&Path>) -> Option<String> {
        if id == 0 {
            return None;
        }
        if let Some(known) = self.units.get(&id) {
            return known.clone();
        }
        let found = match hint.filter(|path| self.id(path) == Some(id)) {
            Some(path) => who::unit(path),
            None => self.search(id)?,
        };
        if self.units.len() >= MOST {
            self.units.clear();
        }
        self.units.insert(id, found.clone());
        found
    }

    /// `None`: not found, or not looked for.
    fn search(&mut self, id: u64) -> Option<Option<String>> {
        if self.searched.is_some_and(|when| when.elapsed() < PAUSE) {
            return None;
        }
        self.searched = Some(Instant::now());
        let mut found = None;
        let walked = tree::walk(&self.cgroups, &mut |seen| {
            if seen.inode == id {
                found = Some(who::unit(seen.path));
            }
            Ok(None)
        });
        walked.ok().and(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(pid: u32, start: u64, cgroup: u64) -> Violation {
        let text = serde_json::json!({"schema": "kiln.violation.v1", "time": "", "seq": 1, "verdict": "denied", "profile": "p",
            "block_kind": "profile", "rule": "r", "verb": "read", "object": "/x", "mode": "enforce", "severity": "low",
            "action": "alert", "pid": pid, "tid": pid, "ppid": 0, "uid": u32::MAX, "comm": "", "start_time_ns": start,
            "cgroup_id": cgroup, "generation": 1, "subject": "p|"});
        serde_json::from_value(text).unwrap()
    }

    /// A process in a cgroup of a unit.
    fn machine() -> (tempfile::TempDir, u64) {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("cg/system.slice/a.service/sub")).unwrap();
        fs::create_dir_all(at("proc/7")).unwrap();
        let mut stat = String::from("7 (x) S 3");
        (0..17).for_each(|_| stat.push_str(" 0"));
        stat.push_str(" 500 0 0 0 0 0 9");
        fs::write(at("proc/7/stat"), stat).unwrap();
        fs::write(at("proc/7/cgroup"), "0::/system.slice/a.service/sub\n").unwrap();
        fs::write(at("proc/7/comm"), "server\n").unwrap();
        fs::write(at("proc/7/status"), "Name:\tserver\nUid:\t33\t33\t33\t33\n").unwrap();
        std::os::unix::fs::symlink("/usr/bin/server", at("proc/7/exe")).unwrap();
        let id = fs::metadata(at("cg/system.slice/a.service/sub")).unwrap().ino();
        (dir, id)
    }

    #[test]
    fn unit_and_program_are_named_and_nobody_elses() {
        let (dir, id) = machine();
        let mut askers = Askers::new(&dir.path().join("proc"), &dir.path().join("cg"));
        let mut seen = event(7, 500 * TICK + 3, id);
        askers.name(&mut seen);
        assert_eq!((seen.unit.as_deref(), seen.exe.as_deref()), (Some("a.service"), Some("/usr/bin/server")));
        // Another process has the number now; the cgroup is known.
        let mut gone = event(7, 400 * TICK, id);
        askers.name(&mut gone);
        assert_eq!((gone.unit.as_deref(), gone.exe, gone.comm.as_str()), (Some("a.service"), None, ""));
    }

    #[test]
    fn a_cgroup_without_a_process_is_searched_for_now_and_then() {
        let (dir, id) = machine();
        let mut askers = Askers::new(&dir.path().join("none"), &dir.path().join("cg"));
        let mut unknown = event(9, 1, u64::MAX);
        askers.name(&mut unknown);
        assert_eq!(unknown.unit, None);
        let mut soon = event(9, 1, id);
        askers.name(&mut soon);
        assert_eq!(soon.unit, None, "not again at once");
        askers.searched = None;
        askers.name(&mut soon);
        assert_eq!(soon.unit.as_deref(), Some("a.service"));
    }

    #[test]
    fn what_came_in_nobodys_context_gets_all_of_it() {
        let (dir, id) = machine();
        let mut askers = Askers::new(&dir.path().join("proc"), &dir.path().join("cg"));
        let mut bare = event(7, 0, 0);
        askers.name(&mut bare);
        assert_eq!((bare.ppid, bare.uid, bare.comm.as_str(), bare.cgroup_id), (3, 33, "server", id));
        assert_eq!((bare.unit.as_deref(), bare.start_time_ns), (Some("a.service"), 500 * TICK));
    }
}
