//! A unit or process out of quarantine or of a throttle, by an operator's word.

use kiln_base::event::Phase;

use crate::error::{AgentError, Refusal, Result};
use crate::label::bearer::Labels;
use crate::label::quarantine::Release;
use crate::limit::{apply, throttle};
use crate::load::attach;
use crate::update::engine::Engine;
use crate::update::label::label;

/// Lets a unit go by its name, or a process by its number: out of quarantine, and of a throttle.
///
/// # Errors
/// If it is in neither; of the kernel.
pub fn release(engine: &mut Engine, asked: &str) -> Result<()> {
    engine.records()?;
    // Whoever is let go is told first, where that was not done yet.
    engine.watch_responses()?;
    let slowed = slowed(engine, asked)?;
    let released = Release {
        map: &engine.maps.quarantined,
        cgroups: &engine.maps.cgroups,
        labels: Labels(&engine.maps.labels),
        given: &engine.labels,
        mark_groups: &|| attach::mark_groups(&engine.places.pins),
        cgroup_root: &engine.places.cgroups,
        proc_root: &engine.places.proc,
    }
    .run(asked);
    let released = match released {
        Err(AgentError::Refused(Refusal::NotQuarantined(_))) if slowed => return Ok(()),
        other => other?,
    };
    let keys: Vec<_> = released.iter().map(|held| held.key).collect();
    engine.responses.end(&keys, Phase::Released)?;
    relabel(engine)
}

/// Who was in quarantine while a policy came was passed over by it, and gets what that policy has for him.
fn relabel(engine: &Engine) -> Result<()> {
    let records = engine.records()?;
    let tables = engine.keeper.tables(&records.active)?;
    let slots = engine.labels.slots(&tables.metadata.subjects);
    label(engine, &tables, &slots, records.revocation).map(drop)
}

/// Ends the throttle of a unit, if there is one.
fn slowed(engine: &mut Engine, asked: &str) -> Result<bool> {
    let all = throttle::list(&engine.maps, &engine.places.cgroups)?;
    let ids: Vec<u64> =
        all.iter().filter(|slowed| slowed.unit().as_deref() == Some(asked)).map(|slowed| slowed.id).collect();
    if ids.is_empty() {
        return Ok(false);
    }
    engine.watch_throttles(true)?;
    ids.iter().try_for_each(|id| throttle::forget(&engine.maps, *id))?;
    engine.throttles.end(&ids, Phase::Released)?;
    // Here, too: there may be no agent to look.
    let records = engine.records()?;
    let tables = engine.keeper.tables(&records.active)?;
    let slots = engine.labels.slots(&tables.metadata.subjects);
    apply::apply(&engine.places, &engine.maps, &tables, &slots)?;
    Ok(true)
}
