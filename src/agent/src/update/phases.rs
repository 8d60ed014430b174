//! The phases of an update. Each is a value that only the phase before it gives, and that the next one consumes: an order
//! that must hold cannot be written otherwise.
//!
//! ```text
//!  Accepted    its numbers are noted: whatever comes, it is never accepted again
//!     | admit
//!  Admitted    each of its subjects has a label in the table of labels
//!     | widen
//!  Widened     the running policy knows those labels too, each meaning what its tasks are now
//!     | build
//!  Built       its map is filled, frozen and read back; nothing refers to it
//!     | attach
//!  Attached    the programs that it needs run, and know what is Kiln's own
//!     | label
//!  Labelled    what is there already has its label, still under the running policy
//!     | announce
//!  Announced   the records name it as active, and the one before as what to go back to
//!     | flip
//!  Flipped     it decides, for all tasks at once
//!     | revoke
//!  Revoked     what came between is labelled, and who traces and may not any more has ended
//!     | prove
//!  Proven      the sentinel was refused by it; older generations are released
//! ```
//!
//! Up to `Announced` what is dropped leaves what is enforced as it was. From `Flipped` on [`Flipped::hold`] goes back if a phase
//! fails.

use kiln_base::abi::Tables;
use kiln_base::abi::layout::GENERATIONS;
use kiln_base::abi::narrow::Narrowing;
use kiln_base::event::Evidence;
use kiln_base::model::Verb;

use crate::error::{Lack, Result};
use crate::label::slots::Slots;
use crate::limit;
use crate::load::generation::{self, Built as Generation};
use crate::load::{attach, helpers, known, own, servers};
use crate::machine::lines;
use crate::update::back::go_back;
use crate::update::calls;
use crate::update::engine::Engine;
use crate::update::flip::flip;
use crate::update::label::label;
use crate::update::prove::prove;
use crate::update::records::{Named, Pending, Record, Records};
use crate::update::store::{Accepted, Verified};
use crate::update::windows;

/// What every phase has.
struct Update<'a> {
    engine: &'a mut Engine,
    policy: &'a Verified,
    /// What was recorded when it began; none at the first load.
    old: Option<Records>,
    /// Entries of the table of labels.
    labels: usize,
    /// Indices of generations that are free.
    free: Vec<u32>,
}

impl Update<'_> {
    fn build(&mut self, tables: &Tables, slots: &Slots, number: u64) -> Result<Generation> {
        let index = self.free.pop().ok_or(Lack::NoGeneration)?;
        let built = generation::build(&self.engine.maps.outer, index, tables, slots)?;
        self.engine.maps.state.set_serial(index, number);
        windows::tell(self.engine, index, &tables.metadata, false)?;
        Ok(built)
    }

    fn attach(&self, narrowed: bool) -> Result<()> {
        let places = &self.engine.places;
        attach::attach_needed(&places.pins, &places.run, &self.policy.tables.kernel.header, narrowed)?;
        servers::tell(places, &self.engine.maps)
    }

    /// Whether some task that has a label may read or change a file, or the memory of a process, by the old tables and
    /// not by the new ones.
    fn narrows(&self, old: &Tables, slots: &Slots) -> bool {
        let verbs = 1 << Verb::Read as u8 | 1 << Verb::Modify as u8;
        let before = self.engine.labels.slots(&old.metadata.subjects);
        let mut narrowing = Narrowing::new(&old.kernel, &self.policy.tables.kernel);
        // A label without a subject (0) is denied everything.
        before.slot.iter().zip(&slots.slot).any(|(a, b)| *a != 0 && (*b == 0 || narrowing.narrows(a - 1, b - 1, verbs)))
    }
}

/// See the picture above.
pub struct Admitted<'a>(Update<'a>);

/// See the picture above.
pub struct Widened<'a> {
    all: Update<'a>,
    previous: Option<Record>,
}

/// See the picture above.
pub struct Built<'a> {
    all: Update<'a>,
    previous: Option<Record>,
    record: Record,
    slots: Slots,
}

/// See the picture above.
pub struct Attached<'a> {
    built: Built<'a>,
    /// Whether tasks may hold what the policy would not permit now.
    narrowed: bool,
}

/// See the picture above.
pub struct Labelled<'a> {
    built: Built<'a>,
    narrowed: bool,
}

/// See the picture above.
pub struct Announced<'a> {
    built: Built<'a>,
    records: Records,
    named: Named,
}

/// See the picture above.
#[must_use = "a generation that is not proven must not stay"]
pub struct Flipped<'a> {
    built: Built<'a>,
    records: Records,
}

/// See the picture above.
pub struct Revoked<'a, 'b>(&'b mut Flipped<'a>);

/// See the picture above.
pub struct Proven(Evidence);

impl<'a> Admitted<'a> {
    /// Gives each subject of a policy a label.
    ///
    /// # Errors
    /// If this kernel is older than the policy, or there are no more labels.
    pub fn admit(engine: &'a mut Engine, policy: Accepted<'a>) -> Result<Admitted<'a>> {
        let policy = policy.policy();
        known::at_least(&policy.tables.metadata.kernel)?;
        calls::check(&engine.places, policy)?;
        let old = match engine.maps.active() {
            Some(_) => Some(engine.records()?),
            None => None,
        };
        let mut labels = engine.labels.clone();
        labels.admit(&policy.tables.metadata.subjects)?;
        engine.maps.write_labels(&labels)?;
        engine.labels = labels;
        let labels = engine.labels.len();
        let mut free = (0..GENERATIONS).collect::<Vec<u32>>();
        free.retain(|i| old.as_ref().is_none_or(|o| *i != o.active.index));
        Ok(Admitted(Update { engine, policy, old, labels, free }))
    }

    /// Builds the running policy once more with slots for the new labels, and flips to it, which changes no verdict. It is
    /// what going back goes back to.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn widen(self) -> Result<Widened<'a>> {
        let Admitted(mut all) = self;
        let Some(old) = all.old.clone() else { return Ok(Widened { all, previous: None }) };
        if old.active.labels >= all.labels {
            return Ok(Widened { all, previous: Some(old.active) });
        }
        let tables = all.engine.keeper.tables(&old.active)?;
        let slots = all.engine.labels.slots(&tables.metadata.subjects);
        let built = all.build(&tables, &slots, old.active.number())?;
        let labels = all.labels;
        let wide = Record { index: built.index, readback: built.readback, labels, ..old.active.clone() };
        let previous = Some(old.active.clone());
        let named = all.engine.keeper.write(&Records { active: wide.clone(), previous, ..old })?;
        flip(&all.engine.maps, &tables, named);
        Ok(Widened { all, previous: Some(wide) })
    }
}

impl<'a> Widened<'a> {
    /// Builds the policy's generation.
    ///
    /// # Errors
    /// If the kernel refuses, or gives back other than was written.
    pub fn build(self) -> Result<Built<'a>> {
        let Widened { mut all, previous } = self;
        let policy = all.policy;
        // Kept from here on; records that do not name them would have them removed.
        all.engine.keeper.keep_tables(policy)?;
        let slots = all.engine.labels.slots(&policy.tables.metadata.subjects);
        for key in &slots.stranded {
            lines::print_line(&serde_json::json!({"schema": "kiln.notice.v1", "stranded": key,
                "notice": "tasks of this subject are denied everything under the new policy, which has no subject with all their guards"}));
        }
        let built = all.build(&policy.tables, &slots, policy.number())?;
        let record = Record {
            index: built.index,
            tables: policy.digest,
            readback: built.readback,
            serial: policy.statement.serial,
            name: policy.statement.name.clone(),
            sequence: policy.sequence,
            labels: all.labels,
            tightened: policy.tightened(),
        };
        all.engine.events.explainer.learn(record.number(), policy.tables.metadata.clone());
        Ok(Built { all, previous, record, slots })
    }
}

impl<'a> Built<'a> {
    /// Attaches what the policy needs.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn attach(self) -> Result<Attached<'a>> {
        let all = &self.all;
        // Descriptors may be open that this policy would not open: of a policy that permitted more, or of one before it.
        let narrowed = match &all.old {
            Some(old) => old.revocation || all.narrows(&all.engine.keeper.tables(&old.active)?, &self.slots),
            None => false,
        };
        all.attach(narrowed)?;
        helpers::tell(&all.engine.places.proc, &all.engine.maps)?;
        own::tell(&all.engine.places, &all.engine.maps)?;
        Ok(Attached { built: self, narrowed })
    }
}

impl<'a> Attached<'a> {
    /// Labels what is there, while the running policy still decides.
    ///
    /// # Errors
    /// If a label cannot be set.
    pub fn label(self) -> Result<Labelled<'a>> {
        let Attached { built, mut narrowed } = self;
        let seeded = label(built.all.engine, &built.all.policy.tables, &built.slots, false)?;
        if seeded.tasks > 0 && !narrowed {
            narrowed = true;
            built.all.attach(narrowed)?;
        }
        Ok(Labelled { built, narrowed })
    }
}

impl<'a> Labelled<'a> {
    /// Records what comes. `deadline_ns`: when the generation before comes back, if this one is not confirmed.
    ///
    /// # Errors
    /// If the records cannot be written.
    pub fn announce(self, deadline_ns: Option<u64>) -> Result<Announced<'a>> {
        let Labelled { built, narrowed } = self;
        let records = Records {
            active: built.record.clone(),
            previous: built.previous.clone(),
            pending: deadline_ns.map(|deadline_ns| Pending { deadline_ns }),
            evidence: None,
            revocation: narrowed,
        };
        let named = built.all.engine.keeper.write(&records)?;
        Ok(Announced { built, records, named })
    }
}

impl<'a> Announced<'a> {
    /// Makes the generation active.
    pub fn flip(self) -> Flipped<'a> {
        let Announced { built, records, named } = self;
        flip(&built.all.engine.maps, &built.all.policy.tables, named);
        Flipped { built, records }
    }
}

impl<'a> Flipped<'a> {
    /// Labels what came between the first pass and the flip, and takes back what is not permitted any more.
    ///
    /// # Errors
    /// If a label cannot be set.
    pub fn revoke<'b>(&'b mut self) -> Result<Revoked<'a, 'b>> {
        let all = &self.built.all;
        label(all.engine, &all.policy.tables, &self.built.slots, self.records.revocation)?;
        Ok(Revoked(self))
    }

    /// Proves the generation, or goes back to the one before.
    ///
    /// # Errors
    /// If it is not proven; what was enforced before is then enforced again.
    pub fn hold(mut self) -> Result<Evidence> {
        match self.revoke().and_then(Revoked::prove).and_then(|proven| self.limit().map(|()| proven)) {
            Ok(proven) => self.keep(proven),
            Err(e) => {
                self.leave()?;
                Err(e)
            }
        }
    }

    /// Makes the policy's limits hold.
    fn limit(&self) -> Result<()> {
        let Built { all, slots, .. } = &self.built;
        limit::apply::apply(&all.engine.places, &all.engine.maps, &all.policy.tables, slots)
    }

    fn keep(mut self, Proven(evidence): Proven) -> Result<Evidence> {
        self.records.evidence = Some(evidence.clone());
        let engine = self.built.all.engine;
        engine.keeper.write(&self.records)?;
        let keep = [Some(self.built.record.index), self.built.previous.map(|p| p.index)];
        generation::release(&engine.maps.outer, &keep.into_iter().flatten().collect::<Vec<u32>>());
        Ok(evidence)
    }

    fn leave(self) -> Result<()> {
        let Built { all, previous, .. } = self.built;
        let (Some(previous), Some(old)) = (previous, all.old) else { return Ok(()) };
        let records = Records { active: previous.clone(), previous: None, pending: None, ..old };
        go_back(all.engine, &previous, records).map(drop)
    }
}

impl Revoked<'_, '_> {
    /// Has the sentinel refused.
    ///
    /// # Errors
    /// If the proof fails.
    pub fn prove(self) -> Result<Proven> {
        let built = &mut self.0.built;
        prove(built.all.engine, &built.all.policy.tables, &built.record).map(Proven)
    }
}
