//! `kiln_groups`: what a task finds by its cgroup's place. The programs write it, too; each access here is atomic, and
//! a bit too many only costs time.

use std::io;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, Ordering};

use kiln_base::abi::layout::{Groups as Layout, LOOK_AGENT, LOOK_STRAYS, LOOK_VERBS, PLACES};

use crate::bpf::map::Map;
use crate::bpf::mapping::Mapping;

/// `kiln_groups`, mapped.
#[derive(Debug)]
pub struct Groups(Mapping);

impl Groups {
    /// Maps `kiln_groups`.
    ///
    /// # Errors
    /// If the map is not mappable or of another size.
    pub fn map(map: &Map) -> io::Result<Groups> {
        Mapping::map(map, size_of::<Layout>()).map(Groups)
    }

    /// Sets and clears bits everywhere.
    fn look(&self, set: u32, clear: u32) {
        for place in 0..PLACES {
            let look: &AtomicU32 = self.0.half(offset_of!(Layout, look) + 4 * place);
            look.fetch_or(set, Ordering::SeqCst);
            look.fetch_and(!clear, Ordering::SeqCst);
        }
    }

    /// To be said before a generation with these verbs of the host's becomes active.
    pub fn host_verbs_to_come(&self, verbs: u32) {
        self.look(verbs & LOOK_VERBS, 0);
    }

    /// To be said after it.
    pub fn host_verbs_now(&self, verbs: u32) {
        self.look(0, LOOK_VERBS & !verbs);
    }

    /// From now on a task may bear a label of its own outside the labelled cgroups. To be said before it does.
    pub fn strays(&self) {
        self.look(LOOK_STRAYS, 0);
    }

    /// The same, for as long as the result lives: of a process of the agent's own.
    pub fn strays_for_now(&self) -> Strays<'_> {
        self.look(LOOK_AGENT, 0);
        Strays(self)
    }
}

/// See [`Groups::strays_for_now`].
#[derive(Debug)]
pub struct Strays<'a>(&'a Groups);

impl Drop for Strays<'_> {
    fn drop(&mut self) {
        self.0.look(0, LOOK_AGENT);
    }
}
