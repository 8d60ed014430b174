//! The event buffers: what the kernel programs say is explained, written as lines, and kept for the POS.

use std::path::PathBuf;

use kiln_base::bundle::write_aside;
use kiln_base::event::{KernelEvent, Sentinel, Verdict, Violation};

use crate::bpf::ring::Ring;
use crate::config::Places;
use crate::error::Result;
use crate::label::slots::LabelTable;
use crate::load::maps::Maps;
use crate::machine::lines;
use crate::report::asker::Askers;
use crate::report::explain::{Explainer, Spool};

/// Most events read before other work gets its turn.
const BATCH: usize = 256;

/// Both buffers, and where their events go.
pub struct Events {
    ring: Ring,
    proofs: Ring,
    /// Knows the rules of the generations.
    pub explainer: Explainer,
    spool: Option<Box<dyn Spool>>,
    base: Base,
    askers: Askers,
}

impl Events {
    /// Opens the buffers. Only the holder of the agent's lock may read them.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn open(maps: &Maps, places: &Places, explainer: Explainer) -> Result<Events> {
        let (base, askers) = (Base::read(&places.run), Askers::new(&places.proc, &places.cgroups));
        Ok(Events { ring: maps.ring()?, proofs: maps.proofs()?, explainer, spool: None, base, askers })
    }

    /// Sends violations to a spool, too.
    pub fn set_spool(&mut self, spool: Box<dyn Spool>) {
        self.spool = Some(spool);
    }

    /// The buffer of events, to wait on.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Reads events and reports them; returns how many.
    pub fn drain(&mut self, labels: &LabelTable) -> usize {
        let mut violations = Vec::new();
        let (base, explainer) = (self.base.number, &self.explainer);
        let count = self.ring.read(BATCH, |position, bytes| {
            match KernelEvent::decode(bytes) {
                Ok(event) => violations.push(explain(explainer, labels, base + position, &event)),
                Err(e) => lines::error(&e),
            }
            true
        });
        for mut violation in violations {
            self.askers.name(&mut violation);
            self.report(&violation);
        }
        count
    }

    /// Reports what is in the buffer now. What comes meanwhile is left: in a flood, which a confined service may make,
    /// there is no end to it.
    pub fn drain_present(&mut self, labels: &LabelTable) {
        let end = self.ring.end();
        while self.ring.position() < end && self.drain(labels) > 0 {}
    }

    fn report(&mut self, violation: &Violation) {
        lines::print_line(violation);
        if let Some(spool) = &mut self.spool {
            spool.keep(violation);
        }
    }

    /// Forgets what sentinels of an agent that died have left.
    pub fn forget_proofs(&mut self) {
        self.proofs.read(usize::MAX, |_, _| true);
    }

    /// The refusal of a sentinel by a generation. Its events come in a buffer of their own: a flood of others, which a
    /// confined service may make, does not keep them from arriving.
    pub fn refusal(&mut self, pid: u32, serial: u64) -> Option<Sentinel> {
        let seq = self.base.number + self.ring.end();
        let mut found = None;
        self.proofs.read(usize::MAX, |_, bytes| {
            if let Ok(e) = KernelEvent::decode(bytes)
                && (e.pid, e.verdict, e.generation) == (pid, Verdict::Denied, serial)
            {
                found = Some(Sentinel { pid, time_ns: e.time_ns, seq });
            }
            true
        });
        found
    }

    /// Ends: the numbers of a buffer to come go on where those of this one end.
    ///
    /// # Errors
    /// If that cannot be noted.
    pub fn end(self) -> Result<()> {
        self.base.write(self.base.number + self.ring.position() + 1)
    }
}

fn explain(explainer: &Explainer, labels: &LabelTable, seq: u64, event: &KernelEvent) -> Violation {
    let unknown = format!("label-{}", event.label);
    explainer.explain(seq, event, labels.key(event.label).unwrap_or(&unknown))
}

/// Sequence numbers begin here: after an unload in the same boot the ring buffer begins anew, the numbers do not.
struct Base {
    path: PathBuf,
    number: u64,
}

impl Base {
    fn read(run: &std::path::Path) -> Base {
        let path = run.join("seq-base");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Base { number: text.trim().parse().unwrap_or(0), path }
    }

    fn write(&self, number: u64) -> Result<()> {
        Ok(write_aside(&self.path, number.to_string().as_bytes(), 0o600)?)
    }
}
