//! `kiln-agent ps`: the processes that are bound, with what binds them. Reads only, and needs no lock.

use std::fmt;

use kiln_base::abi::metadata::{Metadata, QUARANTINE};
use kiln_base::model::BlockKind;
use serde::Serialize;

use crate::config::Places;
use crate::error::Result;
use crate::label::bearer::Labels;
use crate::label::who::{self, Bound};
use crate::load::keep;
use crate::load::maps::Maps;
use crate::machine::procfs::printable;
use crate::update::audit;
use crate::update::records::Keeper;

/// All bound processes.
#[derive(Debug, Serialize)]
pub struct Bindings {
    /// Always `kiln.ps.v1`.
    pub schema: &'static str,
    /// By their number.
    pub processes: Vec<Binding>,
}

/// One process.
#[derive(Debug, Serialize)]
pub struct Binding {
    /// Its number.
    pub pid: u32,
    /// Its program, where that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// The unit in whose cgroup it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Its profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The profile's mode, `audit` too where an operator asked for it, or `quarantine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Guards that bind it, those of every host left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
    /// systemd's own code runs in it still, and the policy binds it from its first execve(2) on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub starting: bool,
}

/// Looks who is bound.
///
/// # Errors
/// If nothing is loaded, or the kernel does not answer.
pub fn ps(places: &Places) -> Result<Bindings> {
    let maps = Maps::open(&keep::find(places))?;
    let labels = maps.labels_given()?;
    let records = Keeper::new(&places.run).read()?;
    let metadata = records.and_then(|records| Keeper::new(&places.run).metadata(&records.active));
    let audited = audit::current(&places.run, &maps);
    let groups = who::groups(&maps.cgroups, &places.cgroups)?;
    let describe = |bound: Bound| {
        let key = labels.key(bound.label).map_or_else(|| format!("label-{}", bound.label), str::to_owned);
        let audits = audited.as_ref().is_some_and(|a| a.subject == key && Some(&a.unit) == bound.unit().as_ref());
        let exe = bound.process.exe.as_deref().filter(|exe| !exe.is_empty()).map(printable);
        describe(bound.process.pid.cast_unsigned(), exe, bound.unit(), &key, bound.starting, metadata.as_ref(), audits)
    };
    let processes = who::all(Labels(&maps.labels), &groups, &places.proc)?.into_iter().map(describe).collect();
    Ok(Bindings { schema: "kiln.ps.v1", processes })
}

fn describe(
    pid: u32,
    exe: Option<String>,
    unit: Option<String>,
    key: &str,
    starting: bool,
    metadata: Option<&Metadata>,
    audits: bool,
) -> Binding {
    let (plain, quarantined) = key.strip_suffix(QUARANTINE).map_or((key, false), |plain| (plain, true));
    let (profile, guards) = plain.split_once('|').unwrap_or((plain, ""));
    let profile = (!profile.is_empty()).then(|| profile.to_owned());
    let guards: Vec<String> = guards.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let of_block = |name: &str, kind: BlockKind| {
        let block = metadata?.blocks.iter().find(|block| block.name == name && block.kind == kind)?;
        Some(block.mode.to_string())
    };
    let mode = match &profile {
        _ if quarantined => Some("quarantine".to_owned()),
        Some(_) if audits => Some("audit".to_owned()),
        Some(profile) => of_block(profile, BlockKind::Profile),
        None => None,
    };
    Binding { pid, exe, unit, profile, mode, guards, starting }
}

impl fmt::Display for Bindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} {:<28} {:<20} {:<10} PROGRAM", "PID", "UNIT", "PROFILE", "MODE")?;
        for p in &self.processes {
            let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let guards = if p.guards.is_empty() { String::new() } else { format!("  +{}", p.guards.join(",")) };
            let starting = if p.starting { "  (starting)" } else { "" };
            let (unit, profile, mode, exe) = (or(&p.unit), or(&p.profile), or(&p.mode), or(&p.exe));
            write!(f, "\n{:>8} {unit:<28} {profile:<20} {mode:<10} {exe}{guards}{starting}", p.pid)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_profile_guards_and_quarantine() {
        let of = |key: &str, audits| describe(7, None, Some("a.service".to_owned()), key, false, None, audits);
        let bound = of("web|g,h", true);
        assert_eq!((bound.profile.as_deref(), bound.mode.as_deref()), (Some("web"), Some("audit")));
        assert_eq!(bound.guards, ["g", "h"]);
        let held = of("web||quarantine", true);
        assert_eq!((held.profile.as_deref(), held.mode.as_deref()), (Some("web"), Some("quarantine")));
        let guarded = of("|g", true);
        assert_eq!((guarded.profile, guarded.mode), (None, None));
        let all = Bindings { schema: "kiln.ps.v1", processes: vec![of("web|g", false)] };
        assert!(
            all.to_string().ends_with("7 a.service                    web                  -          -  +g"),
            "{all}"
        );
    }
}
