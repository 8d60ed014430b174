//! Making limits hold, and giving back what was there before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kiln_base::abi::Tables;
use kiln_base::abi::layout::{H_THROTTLE, Limit};
use kiln_base::bundle::write_aside;
use kiln_base::model::Resource;
use zerocopy::{FromBytes, IntoBytes};

use crate::config::Places;
use crate::error::{AgentError, FileFault, Lack, Result, Step};
use crate::label::slots::Slots;
use crate::limit::bound::Amounts;
use crate::limit::manager::Settings;
use crate::limit::now::{Clockwork, Now};
use crate::limit::{bound, dropin, files, leftover, manager, throttle};
use crate::load::maps::Maps;
use crate::machine::files::read_optional;

const MAX_NOTES: u64 = 4 << 20;
/// What a unit has while it is throttled: percent of one processor ...
const CPU: u64 = 10;
/// ... and bytes a second of each disk, in each direction. What it has of the network the kernel programs know.
const DISK: u64 = 1_000_000;

/// What is remembered of a unit that has limits: both are needed to give back.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Note {
    /// What the unit itself says.
    own: Settings,
    /// The most descriptors, where that is limited.
    files: Option<u64>,
}

type Notes = BTreeMap<String, Note>;

/// Below the run folder, which goes at reboot as all that it tells of.
fn notes_path(run: &Path) -> PathBuf {
    run.join("limits.json")
}

fn notes(run: &Path) -> Result<Notes> {
    let path = notes_path(run);
    let Some(bytes) = read_optional(&path, MAX_NOTES)? else { return Ok(Notes::new()) };
    serde_json::from_slice(&bytes).map_err(|e| AgentError::Format { path, fault: FileFault::Records(e) })
}

/// What each service and template is held to.
type Wanted = BTreeMap<String, Amounts>;

/// Makes the limits of a generation that is active hold, as they are now, and no others.
///
/// # Errors
/// If one of them does not hold.
pub fn apply(places: &Places, maps: &Maps, tables: &Tables, slots: &Slots) -> Result<()> {
    let throttles = tables.kernel.header.required_hooks_lo & H_THROTTLE != 0;
    let now = Clockwork::new(&tables.metadata, throttles).now(places, maps)?;
    apply_at(places, maps, tables, slots, &now)
}

/// As [`apply`], at a moment.
///
/// # Errors
/// As there.
pub fn apply_at(places: &Places, maps: &Maps, tables: &Tables, slots: &Slots, now: &Now) -> Result<()> {
    let wanted = wanted(tables, now);
    tell_programs(maps, &bound::labels(tables, slots, now))?;
    let before = notes(&places.run)?;
    if wanted.is_empty() && before.is_empty() {
        return Ok(());
    }
    let managed = |amounts: &Amounts| amounts.keys().any(|resource| !resource.is_network());
    if manager::is_there() {
        tell_manager(places, &wanted, &before, &now.disks)?;
    } else if let Some(unit) = wanted.iter().find_map(|(unit, amounts)| managed(amounts).then_some(unit)) {
        // A throttle is what the kernel programs can do of it; a limit would not hold.
        if bound::named(tables).contains(unit) {
            return Err(Lack::NoManager(unit.clone()).into());
        }
    }
    for (unit, note) in &before {
        end_leftover(places, &wanted, unit, note);
    }
    for (unit, note) in before.iter().filter(|(_, note)| note.files.is_some()) {
        let now = of(&wanted, unit).and_then(|amounts| amounts.get(&Resource::Files));
        if now.is_none_or(|now| note.files.is_some_and(|was| *now > was)) {
            give_files_back(places, unit, note);
        }
    }
    for (unit, amounts) in &wanted {
        let Some(most) = amounts.get(&Resource::Files) else { continue };
        bound::running(&places.cgroups, unit).values().for_each(|cgroup| files::hold(cgroup, *most));
    }
    Ok(())
}

/// All that is named by limits that hold now, and who is throttled.
fn wanted(tables: &Tables, now: &Now) -> Wanted {
    let amounts = |unit: &str| bound::least(tables, unit, now).into_iter().map(|(r, (most, _))| (r, most)).collect();
    let named = bound::named(tables).into_iter().map(|unit| (amounts(&unit), unit));
    let mut wanted: Wanted = named
        .filter(|(amounts, _): &(Amounts, _)| !amounts.is_empty())
        .map(|(amounts, unit)| (unit, amounts))
        .collect();
    for unit in now.throttled.iter().filter(|unit| bound::is_service(unit)) {
        narrow(wanted.entry(unit.clone()).or_insert_with(|| amounts(unit)));
    }
    wanted
}

/// What of a unit's amounts is left while it is throttled.
fn narrow(amounts: &mut Amounts) {
    for (resource, most) in [(Resource::Cpu, CPU), (Resource::IoRead, DISK), (Resource::IoWrite, DISK)] {
        let least = amounts.entry(resource).or_insert(most);
        *least = (*least).min(most);
    }
}

/// What a unit is held to: by its own name, or else as an instance.
fn of<'a>(wanted: &'a Wanted, unit: &str) -> Option<&'a Amounts> {
    wanted.get(unit).or_else(|| wanted.get(&bound::template_of(unit)?))
}

/// What the kernel programs hold labels to.
fn tell_programs(maps: &Maps, wanted: &BTreeMap<u32, Limit>) -> Result<()> {
    let fail = |e| AgentError::kernel(Step::TellLimits, e);
    for (label, limit) in wanted {
        if maps.limits.read::<Limit>(label).map_err(fail)?.as_ref() != Some(limit) {
            maps.limits.write(label, limit).map_err(fail)?;
        }
    }
    for key in maps.limits.keys().map_err(fail)? {
        if u32::read_from_bytes(&key).is_ok_and(|label| !wanted.contains_key(&label)) {
            maps.limits.remove(key.as_bytes()).map_err(fail)?;
        }
    }
    Ok(())
}

fn tell_manager(places: &Places, wanted: &Wanted, before: &Notes, disks: &BTreeSet<String>) -> Result<()> {
    let folder = &places.runtime_units;
    // Of a load that came to no end: what systemd says would be the policy's, not the unit's own.
    let unknown = |unit: &String| !before.contains_key(unit);
    let stale: Vec<String> = dropin::present(folder).into_iter().filter(unknown).collect();
    for unit in &stale {
        dropin::put(folder, unit, None)?;
    }
    if !stale.is_empty() {
        manager::reload()?;
    }
    // An instance of a template that has a file already has that file's settings, too: its own are the template's.
    let of_template = |unit: &String| before.get(&bound::template_of(unit)?).map(|note| note.own.clone());
    let new: Vec<&String> = wanted.keys().filter(|unit| unknown(unit) && of_template(unit).is_none()).collect();
    let asked: Vec<String> = new.iter().map(|unit| bound::instance_of(unit)).collect();
    let mut own = manager::ask(&asked.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut after = Notes::new();
    for (unit, amounts) in wanted {
        let noted = before.get(unit).map(|note| note.own.clone()).or_else(|| of_template(unit));
        let own = noted.or_else(|| own.remove(&bound::instance_of(unit))).unwrap_or_default();
        after.insert(unit.clone(), Note { own, files: amounts.get(&Resource::Files).copied() });
    }
    // Those that go are remembered until their files are gone, and those that come from before theirs are there.
    let mut all = before.clone();
    all.extend(after.clone());
    write(&places.run, &all)?;
    let mut changed = false;
    for unit in all.keys() {
        let text = wanted.get(unit).and_then(|amounts| dropin::text(amounts, &all.get(unit)?.own, disks));
        changed |= dropin::put(folder, unit, text.as_deref())?;
    }
    if changed {
        manager::reload()?;
    }
    write(&places.run, &after)?;
    held(places, wanted, disks)
}

/// What systemd says it holds the units to is what counts.
fn held(places: &Places, wanted: &Wanted, disks: &BTreeSet<String>) -> Result<()> {
    let mut units: BTreeMap<String, &Amounts> = BTreeMap::new();
    for (name, amounts) in wanted {
        if bound::is_template(name) {
            let running = bound::running(&places.cgroups, name).into_keys().chain([bound::instance_of(name)]);
            units.extend(running.filter(|unit| !wanted.contains_key(unit)).map(|unit| (unit, amounts)));
        } else {
            units.insert(name.clone(), amounts);
        }
    }
    let now = manager::ask(&units.keys().map(String::as_str).collect::<Vec<_>>())?;
    for (unit, amounts) in units {
        let exceeded = now.get(&unit).and_then(|now| dropin::exceeded(amounts, now, disks));
        if let Some(resource) = exceeded {
            return Err(Lack::NotHeld { unit, resource }.into());
        }
    }
    Ok(())
}

fn write(run: &Path, notes: &Notes) -> Result<()> {
    if notes.is_empty() {
        let _ = std::fs::remove_file(notes_path(run));
        return Ok(());
    }
    let text = serde_json::to_vec(notes).unwrap_or_default();
    Ok(write_aside(&notes_path(run), &text, 0o600)?)
}

fn end_leftover(places: &Places, wanted: &Wanted, unit: &str, note: &Note) {
    for (instance, cgroup) in bound::running(&places.cgroups, unit) {
        leftover::end(&cgroup, &note.own, of(wanted, &instance));
    }
}

fn give_files_back(places: &Places, unit: &str, note: &Note) {
    let Some(most) = note.files else { return };
    bound::running(&places.cgroups, unit).values().for_each(|cgroup| files::give_back(cgroup, most, &note.own));
}

/// Ends every limit: units have what they say themselves.
///
/// # Errors
/// If systemd cannot be told.
pub fn give_back(places: &Places, maps: &Maps) -> Result<()> {
    tell_programs(maps, &BTreeMap::new())?;
    let slowed = throttle::list(maps, &places.cgroups)?;
    slowed.iter().try_for_each(|slowed| throttle::forget(maps, slowed.id))?;
    let before = notes(&places.run)?;
    let mut changed = false;
    for unit in before.keys().cloned().chain(dropin::present(&places.runtime_units)).collect::<BTreeSet<_>>() {
        changed |= dropin::put(&places.runtime_units, &unit, None)?;
    }
    if changed && manager::is_there() {
        manager::reload()?;
    }
    for (unit, note) in &before {
        end_leftover(places, &Wanted::new(), unit, note);
        give_files_back(places, unit, note);
    }
    write(&places.run, &Notes::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_makes_nothing_wider() {
        let mut amounts: Amounts = [(Resource::Cpu, 5), (Resource::Memory, 1), (Resource::IoRead, 7_000_000)].into();
        narrow(&mut amounts);
        let expect = [(Resource::Cpu, 5), (Resource::Memory, 1), (Resource::IoRead, DISK), (Resource::IoWrite, DISK)];
        assert_eq!(amounts, expect.into());
    }
}
