//! Labels what is there by the tables of a generation.

use kiln_base::abi::Tables;

use crate::error::Result;
use crate::label::bearer::Labels;
use crate::label::rules::Rules;
use crate::label::seed::{Seeded, Seeder};
use crate::label::slots::Slots;
use crate::label::tracers;
use crate::load::attach;
use crate::update::engine::Engine;

/// Labels cgroups and processes that are older than the policy. `tightened`: what was permitted before may not be now,
/// and is in force; who traces and may not any more is then ended.
///
/// # Errors
/// If a label cannot be set.
pub fn label(engine: &Engine, tables: &Tables, slots: &Slots, tightened: bool) -> Result<Seeded> {
    let seeder = Seeder {
        rules: Rules { kernel: &tables.kernel, slots },
        cgroups: &engine.maps.cgroups,
        mark_groups: &|| attach::mark_groups(&engine.places.pins),
        groups: &engine.maps.groups,
        state: &engine.maps.state,
        labels: Labels(&engine.maps.labels),
        cgroup_root: &engine.places.cgroups,
        proc_root: &engine.places.proc,
    };
    let seeded = seeder.run()?;
    if tightened && tables.kernel.header.required_hooks_hi & tracers::PTRACE != 0 {
        seeder.end_tracers()?;
    }
    Ok(seeded)
}
