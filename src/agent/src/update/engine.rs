//! The heart: from verified tables to a flipped, proven generation, and back.
//!
//! A live update goes like this. Labels for the new policy's subjects are added to the registry. The running policy is
//! built once more with slots for these labels too, each meaning what its tasks are now; flipping to that changes no
//! verdict. Now tasks and cgroups that match the new policy are labelled, still under the running one. Then one store
//! makes the new generation active for all of them together. Going back is one store as well.

use std::path::Path;

use kiln_base::abi::Tables;
use kiln_base::abi::layout::GENERATIONS;
use kiln_base::abi::narrow::Narrowing;
use kiln_base::event::{Evidence, KernelEvent, Sentinel, Verdict, Violation};
use kiln_base::model::Verb;

use crate::bpf::object;
use crate::bpf::pins::Pins;
use crate::bpf::ring::Ring;
use crate::config::{Config, Places};
use crate::error::{AgentError, Result};
use crate::label::bearer::Labels;
use crate::label::rules::Rules;
use crate::label::seed::{Seeded, Seeder};
use crate::label::slots::{Registry, Slots};
use crate::label::tracers;
use crate::load::attach;
use crate::load::generation::{self, Built};
use crate::load::helpers;
use crate::load::keep;
use crate::load::maps::Maps;
use crate::load::own;
use crate::machine::lock::Lock;
use crate::machine::{clock, lines};
use crate::report::explain::{Explainer, Spool};
use crate::report::sentinel::{self, Attempt};
use crate::update::records::{Keeper, Pending, Record, Records};
use crate::update::store::{Store, Verified};

/// Most events read before other work gets its turn.
const BATCH: usize = 256;
/// Nice value of who holds the lock.
const PRIORITY: i32 = -15;
/// How often the sentinel tries.
const SENTINEL_ATTEMPTS: usize = 8;

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
    keeper: Keeper,
    ring: Ring,
    proofs: Ring,
    registry: Registry,
    explainer: Explainer,
    spool: Option<Box<dyn Spool>>,
    seq_base: u64,
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
        let registry = maps.registry()?;
        let keeper = Keeper::new(&places.run);
        let mut explainer = Explainer::new(clock::boot_unix_ns());
        if let Some(records) = keeper.read()? {
            for record in records.previous.iter().chain([&records.active]) {
                if let Some(metadata) = keeper.metadata(record) {
                    explainer.learn(record.serial, metadata);
                }
            }
        }
        let ring = maps.ring()?;
        let proofs = maps.proofs()?;
        let config = Config::read(&places.config())?;
        let seq_base = read_base(&places.run);
        crate::machine::files::tidy(&places.state, &["spool"]);
        let store = Store::new(&places.state);
        Ok(Engine {
            config,
            store,
            maps,
            keeper,
            ring,
            proofs,
            registry,
            explainer,
            spool: None,
            seq_base,
            _lock: lock,
            places,
        })
    }

    /// Loads programs and maps for the first time in this boot. Nothing is enforced yet.
    ///
    /// # Errors
    /// If the kernel cannot.
    pub fn load_fresh(places: Places, lock: Lock, policy: &Verified) -> Result<Engine> {
        object::check_lsm(&places.security)?;
        places
            .pins
            .remove_all()
            .map_err(|e| AgentError::kernel("cannot remove what an unfinished load left behind", e))?;
        Keeper::new(&places.run).clear();
        attach::load_fresh(&places.pins, &places.run, &policy.tables.kernel.header)?;
        Maps::create_registry(&places.pins)?;
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

    /// Sends violations to a spool, too.
    pub fn set_spool(&mut self, spool: Box<dyn Spool>) {
        self.spool = Some(spool);
    }

    /// The event buffer, to wait on.
    pub fn ring(&self) -> &Ring {
        &self.ring
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
        known.ok_or_else(|| {
            AgentError::Unsupported(format!(
                "generation {active} is enforced, but its record in {} is lost; it stays in force until a reboot or `kiln-agent unload`",
                self.places.run.display()
            ))
        })
    }

    /// Reads events and reports them; returns how many.
    pub fn drain(&mut self) -> usize {
        let mut violations = Vec::new();
        let (base, registry, explainer) = (self.seq_base, &self.registry, &self.explainer);
        let count = self.ring.read(BATCH, |position, bytes| {
            match KernelEvent::decode(bytes) {
                Ok(event) => violations.push(explain(explainer, registry, base + position, &event)),
                Err(e) => lines::error(&e),
            }
            true
        });
        for violation in violations {
            self.report(&violation);
        }
        count
    }

    fn report(&mut self, violation: &Violation) {
        lines::print_line(violation);
        if let Some(spool) = &mut self.spool {
            spool.keep(violation);
        }
    }

    /// Makes a policy active that is newer than all before, or the first. Returns the evidence.
    ///
    /// # Errors
    /// If anything fails; what was enforced before is then enforced still.
    pub fn switch(&mut self, policy: &Verified, pending: Option<u64>) -> Result<Evidence> {
        check_kernel(&policy.tables.metadata.kernel)?;
        let old = match self.maps.active() {
            Some(_) => Some(self.records()?),
            None => None,
        };
        let mut registry = self.registry.clone();
        registry.admit(&policy.tables.metadata.subjects)?;
        self.maps.write_registry(&registry)?;
        self.registry = registry;
        let labels = self.registry.len();

        let mut free = (0..GENERATIONS).collect::<Vec<u32>>();
        free.retain(|i| old.as_ref().is_none_or(|o| *i != o.active.index));
        // The running policy with slots for the new labels; it is what going back goes back to.
        let previous = match &old {
            Some(old) if old.active.labels < labels => {
                let tables = self.keeper.tables(&old.active)?;
                let slots = self.registry.slots(&tables.metadata.subjects);
                let built = self.build(&mut free, &tables, &slots, old.active.serial)?;
                let wide = Record { index: built.index, readback: built.readback, labels, ..old.active.clone() };
                let previous = Some(old.active.clone());
                self.keeper.write(&Records { active: wide.clone(), previous, ..old.clone() })?;
                self.flip(&tables, built.index);
                Some(wide)
            }
            Some(old) => Some(old.active.clone()),
            None => None,
        };
        // Kept from here on; records that do not name them would have them removed.
        self.keeper.keep_tables(policy)?;
        let slots = self.registry.slots(&policy.tables.metadata.subjects);
        for key in &slots.stranded {
            lines::print_line(&serde_json::json!({"schema": "kiln.notice.v1", "stranded": key,
                "notice": "tasks of this subject are denied everything under the new policy, which has no subject with all their guards"}));
        }
        let built = self.build(&mut free, &policy.tables, &slots, policy.statement.serial)?;
        let record = Record {
            index: built.index,
            tables: policy.digest,
            readback: built.readback,
            serial: policy.statement.serial,
            name: policy.statement.name.clone(),
            sequence: policy.sequence,
            labels,
        };
        self.explainer.learn(record.serial, policy.tables.metadata.clone());

        // Descriptors may be open that this policy would not open: of a policy that permitted more, or of one before it.
        let mut revocation = match &old {
            Some(old) => old.revocation || self.narrows(&self.keeper.tables(&old.active)?, &policy.tables, &slots),
            None => false,
        };
        attach::attach_needed(&self.places.pins, &self.places.run, &policy.tables.kernel.header, revocation)?;
        helpers::tell(&self.places.proc, &self.maps)?;
        own::tell(&self.places, &self.maps)?;
        let seeded = self.seed(&policy.tables, &slots, false)?;
        if seeded.tasks > 0 && !revocation {
            revocation = true;
            attach::attach_needed(&self.places.pins, &self.places.run, &policy.tables.kernel.header, revocation)?;
        }
        // The record of what comes is written first: whoever finds the word flipped finds the record, too.
        let mut records = Records {
            active: record.clone(),
            previous: previous.clone(),
            pending: pending.map(|deadline_ns| Pending { deadline_ns }),
            evidence: None,
            revocation,
        };
        self.keeper.write(&records)?;
        self.flip(&policy.tables, built.index);
        let proven = self
            .seed(&policy.tables, &slots, revocation) // what came between the first pass and the flip
            .and_then(|_| self.prove(&policy.tables, &record));
        match proven {
            Ok(evidence) => {
                records.evidence = Some(evidence.clone());
                self.keeper.write(&records)?;
                let keep: Vec<u32> = [Some(record.index), previous.map(|p| p.index)].into_iter().flatten().collect();
                generation::release(&self.maps.outer, &keep);
                Ok(evidence)
            }
            Err(e) => {
                if let (Some(previous), Some(old)) = (previous, old) {
                    self.go_back(
                        &previous,
                        Records { active: previous.clone(), previous: None, pending: None, ..old },
                    )?;
                }
                Err(e)
            }
        }
    }

    /// Whether some task that has a label may read or change a file, or the memory of a process, by the old tables and
    /// not by the new ones.
    fn narrows(&self, old: &Tables, new: &Tables, slots: &Slots) -> bool {
        let verbs = 1 << Verb::Read as u8 | 1 << Verb::Modify as u8;
        let before = self.registry.slots(&old.metadata.subjects);
        let mut narrowing = Narrowing::new(&old.kernel, &new.kernel);
        // A label without a subject (0) is denied everything.
        before.slot.iter().zip(&slots.slot).any(|(a, b)| *a != 0 && (*b == 0 || narrowing.narrows(a - 1, b - 1, verbs)))
    }

    fn build(&self, free: &mut Vec<u32>, tables: &Tables, slots: &Slots, serial: u64) -> Result<Built> {
        let index = free.pop().ok_or_else(|| AgentError::Unsupported("no generation is free".into()))?;
        let built = generation::build(&self.maps.outer, index, tables, slots)?;
        self.maps.state.set_serial(index, serial);
        Ok(built)
    }

    fn flip(&self, tables: &Tables, index: u32) {
        let verbs = tables.kernel.header.host_verbs;
        self.maps.groups.host_verbs_to_come(verbs);
        self.maps.state.flip(index, verbs);
        self.maps.groups.host_verbs_now(verbs);
    }

    /// `tightened`: what was permitted before may not be now, and is in force.
    fn seed(&self, tables: &Tables, slots: &Slots, tightened: bool) -> Result<Seeded> {
        let seeder = Seeder {
            rules: Rules { kernel: &tables.kernel, slots },
            cgroups: &self.maps.cgroups,
            mark_groups: &|| attach::mark_groups(&self.places.pins),
            groups: &self.maps.groups,
            state: &self.maps.state,
            labels: Labels(&self.maps.labels),
            cgroup_root: &self.places.cgroups,
            proc_root: &self.places.proc,
        };
        let seeded = seeder.run()?;
        if tightened && tables.kernel.header.required_hooks_hi & tracers::PTRACE != 0 {
            seeder.end_tracers()?;
        }
        Ok(seeded)
    }

    /// Lets the sentinel be refused and gathers the evidence for a generation that is active.
    ///
    /// # Errors
    /// If the proof fails.
    pub fn prove(&mut self, tables: &Tables, record: &Record) -> Result<Evidence> {
        let readback = generation::read_back(&self.maps.outer, record.index, tables.kernel.words.len())?;
        if readback != record.readback || self.maps.active() != Some(record.index) {
            return Err(AgentError::Proof("the active generation is not the one that was built".into()));
        }
        let sentinel = self.sentinel(Attempt::choose(&tables.kernel.header), record.serial)?;
        let (programs, links) = attach::inventory(&self.places.pins)?;
        Ok(Evidence {
            tables: record.tables,
            readback,
            serial: record.serial,
            programs,
            links,
            sentinel,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            boot_id: self.places.boot_id()?,
        })
    }

    /// Reports what is in the buffer now. What comes meanwhile is left: in a flood, which a confined service may make,
    /// there is no end to it.
    fn drain_present(&mut self) {
        let end = self.ring.end();
        while self.ring.position() < end && self.drain() > 0 {}
    }

    /// Its events come in a buffer of their own: a flood of others, which a confined service may make, does not keep
    /// them from arriving.
    fn sentinel(&mut self, attempt: Attempt, serial: u64) -> Result<Sentinel> {
        for _ in 0..SENTINEL_ATTEMPTS {
            self.drain_present();
            self.proofs.read(usize::MAX, |_, _| true); // of an agent that died
            let strays = self.maps.groups.strays_for_now();
            let pid = sentinel::provoke(Labels(&self.maps.labels), attempt)?;
            drop(strays);
            let seq = self.seq_base + self.ring.end();
            let mut found = None;
            self.proofs.read(usize::MAX, |_, bytes| {
                if let Ok(e) = KernelEvent::decode(bytes)
                    && (e.pid, e.verdict, e.generation) == (pid, Verdict::Denied, serial)
                {
                    found = Some(Sentinel { pid, time_ns: e.time_ns, seq });
                }
                true
            });
            if let Some(sentinel) = found {
                return Ok(sentinel);
            }
        }
        Err(AgentError::Proof("the sentinel was refused, but no event of this generation says so".into()))
    }

    /// Goes back to the generation before an update that was not confirmed.
    ///
    /// # Errors
    /// If there is none.
    pub fn revert(&mut self) -> Result<Evidence> {
        let records = self.records()?;
        let Some(previous) = records.previous.clone() else {
            return Err(AgentError::Unsupported("there is no generation to go back to".into()));
        };
        let back =
            Records { active: previous.clone(), previous: None, pending: None, evidence: None, revocation: true };
        self.go_back(&previous, back)
    }

    fn go_back(&mut self, previous: &Record, mut records: Records) -> Result<Evidence> {
        let tables = self.keeper.tables(previous)?;
        attach::attach_needed(&self.places.pins, &self.places.run, &tables.kernel.header, true)?;
        // Until the flip is done both are named: the agent may die between, and then the kernel's word counts.
        let leaving = self.keeper.read()?.map(|r| r.active).filter(|r| r.index != previous.index);
        self.keeper.write(&Records { previous: leaving, ..records.clone() })?;
        self.flip(&tables, previous.index);
        generation::release(&self.maps.outer, &[previous.index]);
        let evidence = self.prove(&tables, previous)?;
        records.evidence = Some(evidence.clone());
        self.keeper.write(&records)?;
        Ok(evidence)
    }

    /// Notes the assignment by which the active policy came, where it came before its assignment.
    ///
    /// # Errors
    /// If it cannot be noted.
    pub fn assign(&mut self, sequence: u64) -> Result<()> {
        let mut records = self.records()?;
        records.active.sequence = sequence;
        self.keeper.write(&records)
    }

    /// The active policy is good: it is kept for the next boot, and programs that only the one before needed go.
    ///
    /// # Errors
    /// If it cannot be kept; it stays enforced, unconfirmed.
    pub fn confirm(&mut self) -> Result<()> {
        let mut records = self.records()?;
        let (file, signature) = self.keeper.files(&records.active)?;
        let trusted = kiln_base::bundle::TrustedKeys::read(&self.places.trust())?;
        let mut policy = Verified::check("the active policy", file, signature, &trusted)?;
        policy.sequence = records.active.sequence;
        self.store.confirm(&policy)?;
        records.pending = None;
        self.keeper.write(&records)?;
        attach::detach_unneeded(&self.places.pins, &policy.tables.kernel.header, records.revocation)
    }

    /// Proves again what is active, and makes up for what is missing: links, labels.
    ///
    /// # Errors
    /// If the proof fails.
    pub fn affirm(&mut self) -> Result<Evidence> {
        let mut records = self.records()?;
        let tables = self.keeper.tables(&records.active)?;
        attach::attach_needed(&self.places.pins, &self.places.run, &tables.kernel.header, records.revocation)?;
        own::tell(&self.places, &self.maps)?;
        let slots = self.registry.slots(&tables.metadata.subjects);
        self.seed(&tables, &slots, records.revocation)?;
        let evidence = self.prove(&tables, &records.active)?;
        records.evidence = Some(evidence.clone());
        self.keeper.write(&records)?;
        Ok(evidence)
    }

    /// Ends enforcement and removes everything from the kernel.
    ///
    /// # Errors
    /// If a pin cannot be removed.
    pub fn unload(mut self) -> Result<()> {
        self.drain_present();
        self.maps.state.end();
        keep::release(&self.places, &self.maps)?;
        self.places.pins.remove_all().map_err(|e| AgentError::kernel("cannot remove the pins", e))?;
        self.keeper.clear();
        write_base(&self.places.run, self.seq_base + self.ring.position() + 1)
    }
}

/// What the tables were compiled for must be here: an older kernel would silently enforce less.
fn check_kernel(needed: &str) -> Result<()> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let version = |text: &str| {
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    if version(&release) >= version(needed) {
        return Ok(());
    }
    Err(AgentError::Unsupported(format!("it is {release}, and the policy was compiled for {needed} and newer")))
}

fn explain(explainer: &Explainer, registry: &Registry, seq: u64, event: &KernelEvent) -> Violation {
    let unknown = format!("label-{}", event.label);
    explainer.explain(seq, event, registry.key(event.label).unwrap_or(&unknown))
}

/// Sequence numbers begin here: after an unload in the same boot the ring buffer begins anew, the numbers do not.
fn read_base(run: &Path) -> u64 {
    let text = std::fs::read_to_string(run.join("seq-base")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn write_base(run: &Path, base: u64) -> Result<()> {
    Ok(kiln_base::bundle::write_aside(&run.join("seq-base"), base.to_string().as_bytes(), 0o600)?)
}
