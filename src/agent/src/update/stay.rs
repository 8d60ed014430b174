//! What is done about the policy in force: confirming it, proving it again, noting its assignment.

use kiln_base::event::Evidence;

use crate::error::Result;
use crate::limit;
use crate::load::{attach, own, servers};
use crate::update::engine::Engine;
use crate::update::label::label;
use crate::update::prove::prove;
use crate::update::store::Verified;
use crate::update::trusted::Trusted;
use crate::update::windows;

/// Notes the assignment by which the active policy came, where it came before its assignment.
///
/// # Errors
/// If it cannot be noted.
pub fn assign(engine: &mut Engine, sequence: u64) -> Result<()> {
    let mut records = engine.records()?;
    records.active.sequence = sequence;
    engine.keeper.write(&records).map(drop)
}

/// The active policy is good: it is kept for the next boot, and programs that only the one before needed go.
///
/// # Errors
/// If it cannot be kept; it stays enforced, unconfirmed.
pub fn confirm(engine: &mut Engine) -> Result<()> {
    let mut records = engine.records()?;
    let (file, signature) = engine.keeper.files(&records.active)?;
    let trusted = Trusted::read(&engine.places)?;
    let mut policy = Verified::check("the active policy", file, signature, &trusted)?;
    policy.sequence = records.active.sequence;
    if policy.tightening.is_some() {
        engine.store.keep_tightened(&policy)?;
    } else {
        engine.store.confirm(&policy)?;
    }
    records.pending = None;
    engine.keeper.write(&records)?;
    attach::detach_unneeded(&engine.places.pins, &policy.tables.kernel.header, records.revocation)
}

/// Proves again what is active, and makes up for what is missing: links, labels.
///
/// # Errors
/// If the proof fails.
pub fn affirm(engine: &mut Engine) -> Result<Evidence> {
    let mut records = engine.records()?;
    let tables = engine.keeper.tables(&records.active)?;
    attach::attach_needed(&engine.places.pins, &engine.places.run, &tables.kernel.header, records.revocation)?;
    own::tell(&engine.places, &engine.maps)?;
    servers::tell(&engine.places, &engine.maps)?;
    windows::tell(engine, records.active.index, &tables.metadata, true)?;
    let slots = engine.labels.slots(&tables.metadata.subjects);
    label(engine, &tables, &slots, records.revocation)?;
    limit::apply::apply(&engine.places, &engine.maps, &tables, &slots)?;
    let evidence = prove(engine, &tables, &records.active)?;
    records.evidence = Some(evidence.clone());
    engine.keeper.write(&records)?;
    Ok(evidence)
}
