//! Filters of system calls, which systemd gives to a unit when it starts it, by the drop-in that the bake wrote.
//!
//! So what a policy says of them holds only where the image says the same. A policy that says something else is refused: it
//! would be enforced but for this, and nobody would see it.

use std::collections::BTreeSet;

use kiln_base::abi::Tables;
use kiln_base::bundle::TrustedKeys;
use kiln_base::model::{CallFilter, cgroup_name, literal_of_pattern};

use crate::config::Places;
use crate::error::{Lack, Result};
use crate::update::store::Verified;

/// Index of the host's subject.
const HOST: u32 = 1;

/// Fails where a policy gives a unit another filter than the image does.
///
/// # Errors
/// [`Lack::Calls`]; or, if the policy has filters, why the image's own policy cannot be read.
pub fn check(places: &Places, policy: &Verified) -> Result<()> {
    let read = || {
        let trusted = TrustedKeys::read(&places.trust())?;
        Verified::read(&places.baked_tables(), &places.baked_signature(), &trusted)
    };
    let has = |tables: &Tables| tables.metadata.subjects.iter().any(|s| s.calls.is_some());
    let baked = match read() {
        Ok(baked) => baked,
        Err(_) if !has(&policy.tables) => return Ok(()),
        Err(e) => return Err(e),
    };
    if !has(&policy.tables) && !has(&baked.tables) {
        return Ok(());
    }
    match differs(&baked.tables, &policy.tables) {
        Some(unit) => Err(Lack::Calls(unit).into()),
        None => Ok(()),
    }
}

/// A unit that the two give different filters.
fn differs(baked: &Tables, policy: &Tables) -> Option<String> {
    let units: BTreeSet<&String> = baked.metadata.units.iter().chain(&policy.metadata.units).collect();
    // The filters are of whole units or of all instances of a template: any instance stands for them.
    let names = units.into_iter().filter_map(|unit| literal_of_pattern(&unit.replace("**", "*").replace('*', "any")));
    names.into_iter().find(|unit| of(baked, unit) != of(policy, unit))
}

fn of<'t>(tables: &'t Tables, unit: &str) -> Option<&'t CallFilter> {
    let subject = tables.kernel.after_unit(HOST, cgroup_name(unit).as_bytes());
    tables.metadata.subjects.get((subject as usize).checked_sub(1)?)?.calls.as_ref()
}
