//! Making limits hold, and giving back what was there before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kiln_base::abi::Tables;
use kiln_base::abi::layout::Limit;
use kiln_base::bundle::write_aside;
use kiln_base::model::Resource;
use zerocopy::{FromBytes, IntoBytes};

use crate::config::Places;
use crate::error::{AgentError, FileFault, Lack, Result, Step};
use crate::label::slots::Slots;
use crate::limit::bound::Least;
use crate::limit::manager::Settings;
use crate::limit::{bound, disks, dropin, files, leftover, manager};
use crate::load::maps::Maps;
use crate::machine::files::read_optional;

const MAX_NOTES: u64 = 4 << 20;

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

/// Makes the limits of a generation that is active hold, and no others.
///
/// # Errors
/// If one of them does not hold.
pub fn apply(places: &Places, maps: &Maps, tables: &Tables, slots: &Slots) -> Result<()> {
    let wanted = bound::units(tables);
    tell_programs(maps, &bound::labels(tables, slots))?;
    let before = notes(&places.run)?;
    if wanted.is_empty() && before.is_empty() {
        return Ok(());
    }
    let managed = |least: &Least<'_>| least.keys().any(|resource| !resource.is_network());
    if manager::is_there() {
        tell_manager(places, &wanted, &before)?;
    } else if let Some(unit) = wanted.iter().find_map(|(unit, least)| managed(least).then_some(unit)) {
        return Err(Lack::NoManager(unit.clone()).into());
    }
    for (unit, note) in &before {
        end_leftover(places, unit, note, wanted.get(unit));
    }
    for (unit, note) in before.iter().filter(|(_, note)| note.files.is_some()) {
        let now = wanted.get(unit).and_then(|least| least.get(&Resource::Files)).map(|(most, _)| *most);
        if now.is_none_or(|now| note.files.is_some_and(|was| now > was)) {
            give_files_back(places, unit, note);
        }
    }
    for (unit, least) in &wanted {
        if let (Some((most, _)), Some(cgroup)) = (least.get(&Resource::Files), bound::cgroup(&places.cgroups, unit)) {
            files::hold(&cgroup, *most);
        }
    }
    Ok(())
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

fn tell_manager(places: &Places, wanted: &BTreeMap<String, Least<'_>>, before: &Notes) -> Result<()> {
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
    let new: Vec<&str> = wanted.keys().filter(|unit| unknown(unit)).map(String::as_str).collect();
    let mut own = manager::ask(&new)?;
    let mut after = Notes::new();
    for (unit, least) in wanted {
        let own = before.get(unit).map(|note| note.own.clone()).or_else(|| own.remove(unit)).unwrap_or_default();
        after.insert(unit.clone(), Note { own, files: least.get(&Resource::Files).map(|(most, _)| *most) });
    }
    // Those that go are remembered until their files are gone, and those that come from before theirs are there.
    let mut all = before.clone();
    all.extend(after.clone());
    write(&places.run, &all)?;
    let disks = if wanted.values().any(io) { disks::mounted(&places.proc, Path::new("/sys")) } else { BTreeSet::new() };
    let mut changed = false;
    for unit in all.keys() {
        let text = wanted.get(unit).and_then(|least| dropin::text(least, &all.get(unit)?.own, &disks));
        changed |= dropin::put(folder, unit, text.as_deref())?;
    }
    if changed {
        manager::reload()?;
    }
    write(&places.run, &after)?;
    held(wanted, &disks)
}

fn io(least: &Least<'_>) -> bool {
    least.contains_key(&Resource::IoRead) || least.contains_key(&Resource::IoWrite)
}

/// What systemd says it holds the units to is what counts.
fn held(wanted: &BTreeMap<String, Least<'_>>, disks: &BTreeSet<String>) -> Result<()> {
    let now = manager::ask(&wanted.keys().map(String::as_str).collect::<Vec<_>>())?;
    for (unit, least) in wanted {
        let exceeded = now.get(unit).and_then(|now| dropin::exceeded(least, now, disks));
        if let Some(resource) = exceeded {
            return Err(Lack::NotHeld { unit: unit.clone(), resource }.into());
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

fn end_leftover(places: &Places, unit: &str, note: &Note, least: Option<&Least<'_>>) {
    if let Some(cgroup) = bound::cgroup(&places.cgroups, unit) {
        leftover::end(&cgroup, &note.own, least);
    }
}

fn give_files_back(places: &Places, unit: &str, note: &Note) {
    if let (Some(most), Some(cgroup)) = (note.files, bound::cgroup(&places.cgroups, unit)) {
        files::give_back(&cgroup, most, &note.own);
    }
}

/// Ends every limit: units have what they say themselves.
///
/// # Errors
/// If systemd cannot be told.
pub fn give_back(places: &Places, maps: &Maps) -> Result<()> {
    tell_programs(maps, &BTreeMap::new())?;
    let before = notes(&places.run)?;
    let mut changed = false;
    for unit in before.keys().cloned().chain(dropin::present(&places.runtime_units)).collect::<BTreeSet<_>>() {
        changed |= dropin::put(&places.runtime_units, &unit, None)?;
    }
    if changed && manager::is_there() {
        manager::reload()?;
    }
    for (unit, note) in &before {
        end_leftover(places, unit, note, None);
        give_files_back(places, unit, note);
    }
    write(&places.run, &Notes::new())
}
