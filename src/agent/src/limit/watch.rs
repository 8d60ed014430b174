//! What follows where a limit is met: a report at once, then at most one a minute with how often; and, where the policy
//! says so, the end of the unit's processes.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kiln_base::abi::Tables;
use kiln_base::abi::metadata::LimitInfo;
use kiln_base::model::{Action, Digest, Resource, Severity};
use rustix::fs::inotify;
use serde::Serialize;

use crate::config::Places;
use crate::limit::now::Now;
use crate::limit::{bound, manager, throttle, usage};
use crate::load::maps::Maps;
use crate::machine::clock::now_ns;
use crate::machine::lines;

/// Between two reports of the same limit.
const PAUSE_NS: u64 = 60_000_000_000;

/// That a unit met a limit.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Met<'a> {
    /// Always `kiln.limit.v1`.
    pub schema: &'static str,
    /// Serial of the policy.
    pub generation: u64,
    /// The unit.
    pub unit: &'a str,
    /// What is limited.
    pub resource: Resource,
    /// To how much.
    pub limit: u64,
    /// How often it was met since the last report; of network traffic the bytes that were dropped.
    pub count: u64,
    /// How bad the policy says it is.
    pub severity: Severity,
    /// What followed.
    pub action: Action,
    /// The limit's text.
    pub rule: String,
}

impl Met<'_> {
    fn of<'a>(serial: u64, unit: &'a str, resource: Resource, (limit, info): (u64, &LimitInfo), count: u64) -> Met<'a> {
        Met {
            schema: "kiln.limit.v1",
            generation: serial,
            unit,
            resource,
            limit,
            count,
            severity: info.outcome.severity.unwrap_or(Severity::Medium),
            action: info.outcome.action.unwrap_or(Action::Alert),
            rule: info.text(),
        }
    }
}

/// What was seen of a limit.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// Inode of the cgroup: of a unit that was restarted it is another, and counts from 0.
    cgroup: u64,
    count: u64,
    unreported: u64,
    /// When it may be reported again.
    next_ns: u64,
}

impl Seen {
    /// Notes a count; returns how often the limit was met since the last report, if that is to be reported.
    fn note(&mut self, cgroup: u64, count: u64, now: u64) -> (bool, Option<u64>) {
        if self.cgroup != cgroup {
            self.cgroup = cgroup;
            self.count = 0;
        }
        let grown = count.saturating_sub(self.count);
        self.count = count;
        self.unreported += grown;
        if self.unreported == 0 || now < self.next_ns {
            return (grown > 0, None);
        }
        self.next_ns = now + PAUSE_NS;
        (grown > 0, Some(std::mem::take(&mut self.unreported)))
    }
}

/// A unit with its limits.
type Watched = BTreeMap<Resource, (u64, LimitInfo)>;

/// The limits of the policy in force, and what was seen of each.
#[derive(Debug, Default)]
pub struct Watch {
    tables: Option<Digest>,
    serial: u64,
    units: BTreeMap<String, Watched>,
    seen: BTreeMap<(String, Resource), Seen>,
    /// What was counted before the first look is no news.
    looked: bool,
    /// Told by the kernel at once, before the cgroup of a unit that ends goes: inotify(7).
    told: Option<OwnedFd>,
    /// Inodes of cgroups of which it tells.
    telling: BTreeSet<u64>,
}

/// The files of a cgroup whose changes the kernel tells.
const TELLING: [&str; 2] = ["memory.events", "pids.events"];

impl Watch {
    /// Watches the limits of these tables as they are now.
    pub fn begin(&mut self, digest: Digest, serial: u64, tables: &Tables, now: &Now) {
        let own = |unit: &String| {
            let least = bound::least(tables, unit, now).into_iter();
            least.map(|(resource, (most, info))| (resource, (most, info.clone()))).collect::<Watched>()
        };
        let named = bound::named(tables).into_iter().map(|unit| (own(&unit), unit));
        self.units = named.filter(|(limits, _)| !limits.is_empty()).map(|(limits, unit)| (unit, limits)).collect();
        let units = &self.units;
        self.seen.retain(|(unit, _), _| of(units, unit).is_some());
        // While a policy stays in force, what is met is news though other windows are open.
        self.looked &= self.tables == Some(digest);
        (self.tables, self.serial) = (Some(digest), serial);
        if self.units.is_empty() {
            (self.told, self.telling) = (None, BTreeSet::new());
        } else if self.told.is_none() {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            self.told = inotify::init(flags).map_err(|e| lines::error(&format_args!("cannot watch cgroups: {e}"))).ok();
        }
    }

    /// Becomes readable when it is time to look, before the next second.
    pub fn told(&self) -> Option<BorrowedFd<'_>> {
        self.told.as_ref().map(AsFd::as_fd)
    }

    fn forget_told(&self) {
        let Some(told) = &self.told else { return };
        let mut buffer = [0; 4096];
        while rustix::io::read(told, &mut buffer).is_ok_and(|read| read > 0) {}
    }

    fn be_told(&mut self, cgroups: &BTreeMap<u64, std::path::PathBuf>) {
        let Some(told) = &self.told else { return };
        // The kernel forgets those that are gone.
        self.telling.retain(|inode| cgroups.contains_key(inode));
        for (inode, cgroup) in cgroups {
            if self.telling.insert(*inode) {
                for file in TELLING {
                    // Without one the counters are looked at each second all the same.
                    let _ = inotify::add_watch(told, cgroup.join(file), inotify::WatchFlags::MODIFY);
                }
            }
        }
    }

    /// The services that are watched, with their cgroups where they run; those that ran and do not any more, too.
    fn services(&self, root: &Path) -> BTreeMap<String, Option<PathBuf>> {
        let seen = self.seen.keys().filter(|(unit, _)| !self.units.contains_key(unit));
        let mut all: BTreeMap<String, Option<PathBuf>> = seen.map(|(unit, _)| (unit.clone(), None)).collect();
        for name in self.units.keys() {
            if !bound::is_template(name) {
                all.insert(name.clone(), None);
            }
            all.extend(bound::running(root, name).into_iter().map(|(unit, cgroup)| (unit, Some(cgroup))));
        }
        all
    }

    /// Looks at the kernel's counters.
    pub fn look(&mut self, places: &Places, maps: &Maps) {
        self.forget_told();
        let looked = std::mem::replace(&mut self.looked, true);
        let mut cgroups = BTreeMap::new();
        for (unit, cgroup) in self.services(&places.cgroups) {
            let unit = &unit;
            let Some(limits) = of(&self.units, unit) else { continue };
            let inode = cgroup.as_ref().and_then(|path| std::fs::metadata(path).ok()).map(|found| found.ino());
            let (Some(cgroup), Some(inode)) = (cgroup, inode) else {
                let seen = self.seen.get_mut(&(unit.clone(), Resource::Memory)).filter(|seen| seen.cgroup != 0);
                if let (Some((limit, info)), Some(seen)) = (limits.get(&Resource::Memory), seen) {
                    // Its counters went before they were looked at, but systemd has looked.
                    let unseen = seen.count == 0 && manager::ended_for_memory(unit);
                    let (_, report) = seen.note(seen.cgroup, seen.count + u64::from(unseen), now_ns());
                    (seen.cgroup, seen.count) = (0, 0);
                    if let Some(count) = report {
                        lines::print_line(&Met::of(self.serial, unit, Resource::Memory, (*limit, info), count));
                    }
                }
                continue;
            };
            for (resource, (limit, info)) in limits {
                let Some(count) = usage::met(maps, &cgroup, *resource) else { continue };
                let first = Seen { cgroup: inode, count, ..Seen::default() };
                let first = if looked { Seen::default() } else { first };
                let seen = self.seen.entry((unit.clone(), *resource)).or_insert(first);
                let (grown, report) = seen.note(inode, count, now_ns());
                let action = info.outcome.action.unwrap_or(Action::Alert);
                match action {
                    Action::Kill if grown => end(&cgroup),
                    Action::Throttle if grown && !throttle::keeps_the_machine(unit) => {
                        if let Err(e) = throttle::begin(maps, inode, self.serial) {
                            lines::error(&e);
                        }
                    }
                    _ => {}
                }
                let Some(count) = report else { continue };
                lines::print_line(&Met::of(self.serial, unit, *resource, (*limit, info), count));
            }
            cgroups.insert(inode, cgroup);
        }
        self.be_told(&cgroups);
    }
}

/// The limits of a service: by its own name, or else as an instance.
fn of<'a>(units: &'a BTreeMap<String, Watched>, unit: &str) -> Option<&'a Watched> {
    units.get(unit).or_else(|| units.get(&bound::template_of(unit)?))
}

/// Ends every process of a unit at once (cgroup.kill of cgroup v2).
fn end(cgroup: &Path) {
    if let Err(e) = std::fs::write(cgroup.join("cgroup.kill"), "1") {
        lines::error(&format_args!("cannot end {}: {e}", cgroup.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reported_once_a_minute_with_how_often() {
        let mut seen = Seen::default();
        assert_eq!(seen.note(7, 0, 1), (false, None));
        assert_eq!(seen.note(7, 3, 2), (true, Some(3)));
        assert_eq!(seen.note(7, 5, 3), (true, None));
        assert_eq!(seen.note(7, 5, 4), (false, None));
        assert_eq!(seen.note(7, 9, 2 + PAUSE_NS), (true, Some(6)));
        assert_eq!(seen.note(7, 9, 3 + 2 * PAUSE_NS), (false, None));
        // Restarted: another cgroup, which counts anew.
        assert_eq!(seen.note(8, 2, 4 + 2 * PAUSE_NS), (true, Some(2)));
    }
}
