//! The boots, side by side: each CPU of a guest wants a core of its own. They begin when the first test asks for one.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, Once, OnceLock, PoisonError};
use std::thread;

/// What a boot told, once it has.
pub type Told<T> = Arc<OnceLock<Result<T, String>>>;

struct Job {
    cpus: usize,
    seconds: usize,
    run: Box<dyn FnOnce() + Send>,
}

struct State {
    jobs: VecDeque<Job>,
    free: usize,
}

/// All boots of this run.
pub struct Fleet {
    state: Mutex<State>,
    changed: Condvar,
    begun: Once,
    cores: usize,
}

impl Fleet {
    /// None yet. As many CPUs are emulated as there are cores, or as `KILN_VMS` says.
    pub fn new() -> Arc<Fleet> {
        let asked = std::env::var("KILN_VMS").ok().and_then(|text| text.parse().ok());
        let cores = asked.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into)).max(1);
        let state = Mutex::new(State { jobs: VecDeque::new(), free: cores });
        Arc::new(Fleet { state, changed: Condvar::new(), begun: Once::new(), cores })
    }

    /// One more boot, with so many CPUs, that lasts about so many seconds. What fills the machine goes first, and what
    /// lasts long before what is short: a long one that begins last leaves cores idle until it ends.
    pub fn add<T: Send + Sync + 'static>(
        &self,
        cpus: u32,
        seconds: usize,
        boot: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Told<T> {
        let told = Told::default();
        let teller = told.clone();
        let run = Box::new(move || {
            let said = catch_unwind(AssertUnwindSafe(boot)).unwrap_or_else(|_| Err("the boot's test panicked".into()));
            let _ = teller.set(said);
        });
        let cpus = usize::try_from(cpus).unwrap_or(usize::MAX).clamp(1, self.cores);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = |job: &Job| (job.cpus, job.seconds) < (cpus, seconds);
        let place = state.jobs.iter().position(before).unwrap_or(state.jobs.len());
        state.jobs.insert(place, Job { cpus, seconds, run });
        told
    }

    /// What the boot told; waits for it.
    pub fn wait<'a, T>(self: &Arc<Fleet>, told: &'a Told<T>) -> Result<&'a T, String> {
        self.begun.call_once(|| {
            for _ in 0..self.cores {
                let fleet = self.clone();
                thread::spawn(move || fleet.work());
            }
        });
        told.wait().as_ref().map_err(Clone::clone)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            (job.run)();
            self.state.lock().unwrap_or_else(PoisonError::into_inner).free += job.cpus;
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let first = state.jobs.front()?.cpus;
            if first <= state.free {
                state.free -= first;
                return state.jobs.pop_front();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
