//! The proof that a generation is enforced: its tables read back, a sentinel that was refused, the programs and links.

use kiln_base::abi::Tables;
use kiln_base::event::{Evidence, Sentinel};

use crate::error::{Result, Unproven};
use crate::label::bearer::Labels;
use crate::load::{attach, generation};
use crate::report::sentinel::{self, Attempt};
use crate::update::engine::Engine;
use crate::update::records::Record;

/// How often the sentinel tries.
const SENTINEL_ATTEMPTS: usize = 8;

/// Lets the sentinel be refused and gathers the evidence for a generation that is active.
///
/// # Errors
/// If the proof fails.
pub fn prove(engine: &mut Engine, tables: &Tables, record: &Record) -> Result<Evidence> {
    let readback = generation::read_back(&engine.maps.outer, record.index, tables.kernel.words.len())?;
    if readback != record.readback || engine.maps.active() != Some(record.index) {
        return Err(Unproven::NotActive.into());
    }
    let sentinel = refused(engine, Attempt::choose(&tables.kernel.header), record.number())?;
    let (programs, links) = attach::inventory(&engine.places.pins)?;
    Ok(Evidence {
        tables: record.tables,
        readback,
        serial: record.serial,
        programs,
        links,
        sentinel,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        boot_id: engine.places.boot_id()?,
    })
}

fn refused(engine: &mut Engine, attempt: Attempt, serial: u64) -> Result<Sentinel> {
    for _ in 0..SENTINEL_ATTEMPTS {
        engine.events.drain_present(&engine.labels);
        engine.events.forget_proofs();
        let strays = engine.maps.groups.strays_for_now();
        let pid = sentinel::provoke(Labels(&engine.maps.labels), attempt)?;
        drop(strays);
        if let Some(sentinel) = engine.events.refusal(pid, serial) {
            return Ok(sentinel);
        }
    }
    Err(Unproven::NoEvent.into())
}
