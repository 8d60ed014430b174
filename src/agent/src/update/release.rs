//! A unit or process out of quarantine, by an operator's word.

use kiln_base::event::Phase;

use crate::error::Result;
use crate::label::bearer::Labels;
use crate::label::quarantine::Release;
use crate::load::attach;
use crate::update::engine::Engine;
use crate::update::label::label;

/// Lets a unit go by its name, or a process by its number.
///
/// # Errors
/// If it is not in quarantine; of the kernel.
pub fn release(engine: &mut Engine, asked: &str) -> Result<()> {
    engine.records()?;
    // Whoever is let go is told first, where that was not done yet.
    engine.watch_responses()?;
    let released = Release {
        map: &engine.maps.quarantined,
        cgroups: &engine.maps.cgroups,
        labels: Labels(&engine.maps.labels),
        given: &engine.labels,
        mark_groups: &|| attach::mark_groups(&engine.places.pins),
        cgroup_root: &engine.places.cgroups,
        proc_root: &engine.places.proc,
    }
    .run(asked)?;
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
