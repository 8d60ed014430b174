//! Filters of system calls, which systemd gives to a unit when it starts it, by the drop-in that the bake wrote.
//!
//! So what a policy says of them holds only where the image says the same. A policy that says something else is refused: it
//! would be enforced but for this, and nobody would see it.

use std::collections::BTreeSet;
use std::path::Path;

use kiln_base::abi::Tables;
use kiln_base::model::{CallFilter, cgroup_name, literal_of_pattern, unit_of_cgroup};
use serde::Serialize;

use crate::config::Places;
use crate::error::{Lack, Result};
use crate::machine::files::read_bounded;
use crate::machine::procfs::cgroup_path;
use crate::update::store::Verified;
use crate::update::trusted::Trusted;

/// Index of the host's subject.
const HOST: u32 = 1;

/// Fails where a policy gives a unit another filter than the image does, or was compiled for another image.
///
/// # Errors
/// [`Lack::Calls`], [`Lack::OtherImage`]; or, if the policy has filters, why the image's own policy cannot be read.
pub fn check(places: &Places, policy: &Verified) -> Result<()> {
    let read = || {
        let trusted = Trusted::read(places)?;
        Verified::read(&places.baked_tables(), &places.baked_signature(), &trusted)?.of_build()
    };
    let has = |tables: &Tables| tables.metadata.subjects.iter().any(|s| s.calls.is_some());
    let baked = match read() {
        Ok(baked) => baked,
        Err(_) if !has(&policy.tables) => return Ok(()),
        Err(e) => return Err(e),
    };
    // What `label` and `image` bind was read in an image, and this one is known to say something else.
    if let (Some(here), Some(there)) = (&baked.tables.metadata.image, &policy.tables.metadata.image)
        && here != there
    {
        return Err(Lack::OtherImage.into());
    }
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

/// A process of a unit that has no filter of system calls, though the policy has one for the unit: it was started before the
/// unit had one, was moved there, or was started by other means than the unit's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unfiltered {
    /// The process.
    pub pid: u32,
    /// Its unit.
    pub unit: String,
}

/// All such processes; what ends meanwhile, or cannot be read, is left out.
pub fn unfiltered(proc: &Path, tables: &Tables) -> Vec<Unfiltered> {
    if tables.metadata.subjects.iter().all(|s| s.calls.is_none()) {
        return Vec::new();
    }
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut out: Vec<Unfiltered> = pids.filter_map(|pid| bare(proc, pid, tables)).collect();
    out.sort_by_key(|process| process.pid);
    out
}

fn bare(proc: &Path, pid: u32, tables: &Tables) -> Option<Unfiltered> {
    let folder = proc.join(pid.to_string());
    let path = cgroup_path(&read_bounded(&folder.join("cgroup"), 1 << 16).ok()?)?;
    let mut names = path.iter().filter_map(|part| part.to_str()).filter(|n| *n != "/" && !n.ends_with(".slice"));
    let unit = unit_of_cgroup(names.next()?).to_owned();
    of(tables, &unit)?;
    let status = read_bounded(&folder.join("status"), 1 << 16).ok()?;
    // SECCOMP_MODE_FILTER is 2 (proc(5)).
    let filtered = String::from_utf8_lossy(&status)
        .lines()
        .any(|l| l.split_once(':').is_some_and(|(k, v)| k == "Seccomp" && v.trim() == "2"));
    (!filtered).then_some(Unfiltered { pid, unit })
}
