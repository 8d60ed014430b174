//! Everything at work in one process, under the lock: what the steps of an update, its way back and the service share.

use std::path::Path;

use crate::bpf::object;
use crate::bpf::pins::Pins;
use crate::config::{Config, Places};
use crate::error::{AgentError, Lack, Result, Step};
use crate::label::slots::LabelTable;
use crate::limit;
use crate::load::maps::Maps;
use crate::load::{attach, keep, own};
use crate::machine::clock::boot_unix_ns;
use crate::machine::files::tidy;
use crate::machine::lock::Lock;
use crate::report::events::Events;
use crate::report::explain::Explainer;
use crate::report::responses::Responses;
use crate::report::throttles::Throttles;
use crate::update::records::{Keeper, Records};
use crate::update::store::{Store, Verified};

/// Nice value of who holds the lock.
const PRIORITY: i32 = -15;

/// Everything at work in one process, under the lock.
pub struct Engine {
    /// Where things are.
    pub places: Places,
    /// The image's settings.
    pub config: Config,
    /// What survives.
    pub store: Store,
    /// The pinned maps.
    pub maps: Maps,
    /// What is recorded of the generations.
    pub keeper: Keeper,
    /// What the kernel programs say.
    pub events: Events,
    /// Responses that last.
    pub responses: Responses,
    /// Throttles.
    pub throttles: Throttles,
    /// The labels of this boot.
    pub labels: LabelTable,
    _lock: Lock,
}

impl Engine {
    /// Opens what is loaded.
    ///
    /// # Errors
    /// [`AgentError::NotLoaded`] if nothing is; [`AgentError::Busy`] if another agent works.
    pub fn open(places: Places) -> Result<Engine> {
        let lock = Lock::take(&places.run)?;
        let pins = keep::find(&places);
        Engine::with_lock(Places { pins, ..places }, lock)
    }

    /// As [`Engine::open`], with the lock taken before.
    ///
    /// # Errors
    /// As there.
    pub fn with_lock(places: Places, lock: Lock) -> Result<Engine> {
        // So that many who keep the machine busy do not keep an update waiting; with fewer rights, as it was.
        let _ = rustix::process::setpriority_process(None, PRIORITY);
        let maps = Maps::open(&places.pins)?;
        let labels = maps.labels_given()?;
        let keeper = Keeper::new(&places.run);
        let mut explainer = Explainer::new(boot_unix_ns());
        if let Some(records) = keeper.read()? {
            for record in records.previous.iter().chain([&records.active]) {
                if let Some(metadata) = keeper.metadata(record) {
                    explainer.learn(record.number(), metadata);
                }
            }
        }
        let events = Events::open(&maps, &places, explainer)?;
        let config = Config::read(&places.config())?;
        tidy(&places.state, &["spool"]);
        let store = Store::new(&places.state);
        let responses = Responses::open(&places.run);
        let throttles = Throttles::open(&places.run);
        Ok(Engine { config, store, maps, keeper, events, responses, throttles, labels, _lock: lock, places })
    }

    /// Loads programs and maps for the first time in this boot. Nothing is enforced yet.
    ///
    /// # Errors
    /// If the kernel cannot.
    pub fn load_fresh(places: Places, lock: Lock, policy: &Verified) -> Result<Engine> {
        object::check_lsm(&places.security)?;
        places.pins.remove_all().map_err(|e| AgentError::kernel(Step::RemoveUnfinished, e))?;
        Keeper::new(&places.run).clear();
        attach::load_fresh(&places.pins, &places.run, &policy.tables.kernel.header)?;
        Maps::create_labels(&places.pins)?;
        let state = Maps::open(&places.pins)?;
        state.state.end();
        drop(state);
        Engine::with_lock(places, lock)
    }

    /// Sees to it that nothing takes away what this agent stands on: something outlives it that keeps the pins, and the
    /// kernel programs know what is Kiln's.
    ///
    /// # Errors
    /// If one of it fails.
    pub fn settle(&mut self) -> Result<()> {
        let anchor = keep::keep(&self.places, &self.maps)?;
        self.places.pins = Pins::held(self.places.pins.root(), anchor);
        own::tell(&self.places, &self.maps)
    }

    /// Whether the pins are where others look for them.
    pub fn in_place(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let of = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
        of(Path::new(Pins::DEFAULT)) == of(self.places.pins.root())
    }

    /// What is recorded of the generations.
    ///
    /// # Errors
    /// [`AgentError::NotLoaded`] if nothing is active.
    pub fn records(&self) -> Result<Records> {
        match (self.maps.active(), self.keeper.read()?) {
            (Some(active), Some(records)) if records.active.index == active => Ok(records),
            (Some(_), records) => self.repair(records),
            (None, _) => Err(AgentError::NotLoaded),
        }
    }

    /// The word and the records differ where the agent died between the flip and the record: the kernel is right.
    fn repair(&self, records: Option<Records>) -> Result<Records> {
        let active = self.maps.active().ok_or(AgentError::NotLoaded)?;
        let known = records.and_then(|r| {
            let previous = r.previous.clone().filter(|p| p.index == active)?;
            Some(Records { active: previous, previous: None, pending: None, evidence: None, revocation: true })
        });
        if let Some(known) = &known {
            self.keeper.write(known)?;
        }
        known.ok_or_else(|| Lack::LostRecord { index: active, run: self.places.run.clone() }.into())
    }

    /// Reads events and reports them; returns how many.
    pub fn drain(&mut self) -> usize {
        self.events.drain(&self.labels)
    }

    /// Tells which responses began and ended.
    ///
    /// # Errors
    /// Of the kernel, or if it cannot be noted.
    pub fn watch_responses(&mut self) -> Result<()> {
        self.responses.watch(&self.maps, &self.places.cgroups, &self.labels, &self.events.explainer)
    }

    /// Tells which throttles began and ended. `wanted`: the policy in force throttles at all; else they end.
    ///
    /// # Errors
    /// As there.
    pub fn watch_throttles(&mut self, wanted: bool) -> Result<()> {
        self.throttles.watch(&self.maps, &self.places.cgroups, &self.labels, &self.events.explainer, wanted)
    }

    /// Ends enforcement and removes everything from the kernel.
    ///
    /// # Errors
    /// If a pin cannot be removed.
    pub fn unload(mut self) -> Result<()> {
        self.events.drain_present(&self.labels);
        let given_back = limit::apply::give_back(&self.places, &self.maps);
        self.maps.state.end();
        keep::release(&self.places, &self.maps)?;
        self.places.pins.remove_all().map_err(|e| AgentError::kernel(Step::RemovePins, e))?;
        self.keeper.clear();
        self.events.end()?;
        given_back
    }
}
