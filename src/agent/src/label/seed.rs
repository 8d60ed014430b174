//! Labels for what is there already: cgroups and tasks older than the policy that attaches to them.
//!
//! From the flip on the kernel programs label new cgroups and tasks themselves, by the same rules.

use std::os::fd::OwnedFd;
use std::path::Path;

use kiln_base::abi::layout::{LABEL_HOST, T_EXEMPT, T_STARTING};

use crate::bpf::groups::Groups;
use crate::bpf::map::Map;
use crate::bpf::word::StateWord;
use crate::error::Result;
use crate::label::bearer::Labels;
use crate::label::cgroups;
use crate::label::process::Process;
use crate::label::rules::Rules;
use crate::label::tasks::Pass;
use crate::label::tree::Labelled;
use crate::machine::lines::notice;

/// Most passes over the tasks, on a machine that forks faster than it can be read.
const MAX_PASSES: usize = 16;
/// Descriptors that a pass over the tasks may need: one for each process.
const MOST_FILES: u64 = 1 << 20;

/// The rules of a generation, and the maps that hold labels.
pub struct Seeder<'a> {
    /// What labels mean.
    pub rules: Rules<'a>,
    /// `kiln_cgroups`.
    pub cgroups: &'a Map,
    /// Lets the programs mark what `kiln_cgroups` has: from then on tasks have their cgroup's label.
    pub mark_groups: &'a dyn Fn() -> Result<()>,
    /// `kiln_groups`.
    pub groups: &'a Groups,
    /// `kiln_state`.
    pub state: &'a StateWord,
    /// `kiln_labels`.
    pub labels: Labels<'a>,
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

/// What binds a process.
pub struct Bound {
    /// Its label.
    pub label: u32,
    /// PID 1's own code runs in it still.
    pub starting: bool,
    /// The process.
    pub pidfd: OwnedFd,
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
            let before = done;
            // Waits for the kernel's mutex of cgroups: a cgroup that was being made by the rules of before is then there to see.
            (self.mark_groups)()?;
            let groups = self.labelled()?;
            done.cgroups += groups.by_path.values().filter(|group| group.changed).count();
            // Each time: who labelled some may have died before it could.
            (self.mark_groups)()?;
            done.tasks += self.pass().run(&groups)?;
            if done == before {
                return Ok(done);
            }
        }
        notice(&format_args!(
            "after {MAX_PASSES} passes there were still new processes to label; what is made from the flip on is labelled by \
             the kernel"
        ));
        Ok(done)
    }

    fn pass(&self) -> Pass<'_> {
        Pass {
            rules: self.rules,
            labels: self.labels,
            groups: self.groups,
            state: self.state,
            cgroup_root: self.cgroup_root,
            proc_root: self.proc_root,
        }
    }

    /// The labelled cgroups, those among them that were not labelled yet.
    ///
    /// # Errors
    /// As [`Seeder::run`].
    pub fn labelled(&self) -> Result<Labelled> {
        cgroups::label(self.rules, self.cgroups, self.cgroup_root)
    }

    /// What binds a process; `None` where it is gone.
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub fn bound(&self, pid: i32, groups: &Labelled) -> Result<Option<Bound>> {
        let Some(process) = Process::read(self.proc_root, pid)? else { return Ok(None) };
        let (label, flags) = match self.labels.of(&process.pidfd)? {
            Some(own) if own.flags & T_EXEMPT != 0 || own.flags & T_STARTING != 0 => (LABEL_HOST, own.flags),
            Some(own) => (own.label, own.flags),
            None => {
                let group = process.cgroup.as_ref().and_then(|path| groups.of(path));
                (group.map_or(LABEL_HOST, |group| group.label), 0)
            }
        };
        Ok(Some(Bound { label, starting: flags & T_STARTING != 0, pidfd: process.pidfd }))
    }
}
