//! Going back to the generation before an update.

use kiln_base::event::Evidence;

use crate::error::{Lack, Result};
use crate::limit;
use crate::load::{attach, generation};
use crate::update::engine::Engine;
use crate::update::flip::flip;
use crate::update::prove::prove;
use crate::update::records::{Record, Records};
use crate::update::windows;

/// Goes back to the generation before an update that was not confirmed.
///
/// # Errors
/// If there is none.
pub fn revert(engine: &mut Engine) -> Result<Evidence> {
    let records = engine.records()?;
    let Some(previous) = records.previous.clone() else {
        return Err(Lack::NothingBefore.into());
    };
    let back = Records { active: previous.clone(), previous: None, pending: None, evidence: None, revocation: true };
    go_back(engine, &previous, back)
}

/// Makes `previous` active again, and `records` what is recorded.
///
/// # Errors
/// If it cannot be done or proven.
pub fn go_back(engine: &mut Engine, previous: &Record, mut records: Records) -> Result<Evidence> {
    let tables = engine.keeper.tables(previous)?;
    windows::tell(engine, previous.index, &tables.metadata, true)?;
    attach::attach_needed(&engine.places.pins, &engine.places.run, &tables.kernel.header, true)?;
    // Until the flip is done both are named: the agent may die between, and then the kernel's word counts.
    let leaving = engine.keeper.read()?.map(|r| r.active).filter(|r| r.index != previous.index);
    let named = engine.keeper.write(&Records { previous: leaving, ..records.clone() })?;
    flip(&engine.maps, &tables, named);
    generation::release(&engine.maps.outer, &[previous.index]);
    let slots = engine.labels.slots(&tables.metadata.subjects);
    limit::apply::apply(&engine.places, &engine.maps, &tables, &slots)?;
    let evidence = prove(engine, &tables, previous)?;
    records.evidence = Some(evidence.clone());
    engine.keeper.write(&records)?;
    Ok(evidence)
}
