//! `kiln-agent show`: what binds a unit, or all that the policy has. Reads only, and needs no lock.

use std::collections::BTreeSet;
use std::fmt;

use kiln_base::abi::Tables;
use kiln_base::abi::metadata::{BlockInfo, Metadata, RuleInfo, SubjectInfo};
use kiln_base::event::Response;
use kiln_base::model::{Because, BlockKind, cgroup_name};
use serde::Serialize;

use crate::commands::status;
use crate::config::Places;
use crate::error::{AgentError, Lack, Refusal, Result};
use crate::limit::usage::Usage;
use crate::load::keep;
use crate::load::maps::Maps;
use crate::update::audit::{self, Audit};
use crate::update::records::Keeper;

/// The host's subject: what a unit's name leads on from.
const HOST: u32 = 1;

/// What binds a unit, or the whole policy.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Always `kiln.show.v1`.
    pub schema: &'static str,
    /// The unit that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The policy's name.
    pub policy: String,
    /// Its serial.
    pub serial: u64,
    /// Whether it waits for confirmation.
    pub pending: bool,
    /// The unit's subject, `profile|guard,guard`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The profiles and guards.
    pub blocks: Vec<Block>,
    /// Limits with what is used of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Usage>,
    /// Which windows are open, if the policy has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<status::Windows>,
    /// The unit in audit mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// Who of it is in quarantine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Response>,
    /// What changed since the policy before, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Changed>,
}

/// A profile or guard.
#[derive(Debug, Serialize)]
pub struct Block {
    /// Profile or guard.
    pub kind: BlockKind,
    /// Its name.
    pub name: String,
    /// Its mode.
    pub mode: String,
    /// Globs of units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Globs of programs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec: Vec<String>,
    /// Whether it binds every task.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub host: bool,
    /// In the order of the policy.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// Its text in PDL, without `because`.
    pub text: String,
    /// Why it is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Because>,
    /// Where it was written, `file:line`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub origin: String,
}

/// What is other than in the policy before.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// Serial of the policy before.
    pub since: u64,
    /// Rules that came, `block: text`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Rules that went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// Gathers it.
///
/// # Errors
/// If nothing is loaded, or nothing binds the unit.
pub fn show(places: &Places, unit: Option<&str>) -> Result<Shown> {
    let maps = Maps::open(&keep::find(places))?;
    let keeper = Keeper::new(&places.run);
    let index = maps.active().ok_or(AgentError::NotLoaded)?;
    let records = keeper.read()?.filter(|records| records.active.index == index);
    let records = records.ok_or_else(|| Lack::LostRecord { index, run: places.run.clone() })?;
    let tables = keeper.tables(&records.active)?;
    let metadata = &tables.metadata;
    let subject = unit.map(|unit| bound(&tables, unit)).transpose()?;
    let binds = |block: &BlockInfo| subject.is_none_or(|subject| binds(subject, block));
    let previous = records.previous.as_ref().filter(|previous| previous.serial != records.active.serial);
    let changed = previous.and_then(|p| Some(changed(p.serial, &keeper.metadata(p)?, metadata, &binds)));
    let is_units = |name: &str| unit.is_none_or(|unit| unit == name);
    let status = status::status(places)?;
    Ok(Shown {
        schema: "kiln.show.v1",
        unit: unit.map(str::to_owned),
        policy: records.active.name,
        serial: records.active.serial,
        pending: records.pending.is_some(),
        subject: subject.map(|subject| subject.key.clone()),
        blocks: blocks(metadata, &binds),
        limits: status.limits.into_iter().filter(|limit| is_units(&limit.unit)).collect(),
        windows: status.windows,
        audit: audit::current(&places.run, &maps).filter(|audit| is_units(&audit.unit)),
        quarantined: status.quarantined.into_iter().filter(|q| q.unit.as_deref().is_none_or(is_units)).collect(),
        changed,
    })
}

/// The subject of a unit.
fn bound<'t>(tables: &'t Tables, unit: &str) -> Result<&'t SubjectInfo> {
    let index = tables.kernel.after_unit(HOST, cgroup_name(unit).as_bytes());
    let info = tables.metadata.subjects.iter().find(|subject| subject.index == index);
    info.filter(|subject| binds_any(subject)).ok_or_else(|| Refusal::Unbound(unit.to_owned()).into())
}

fn binds_any(subject: &SubjectInfo) -> bool {
    subject.profile.is_some() || !subject.guards.is_empty()
}

fn binds(subject: &SubjectInfo, block: &BlockInfo) -> bool {
    match block.kind {
        BlockKind::Profile => subject.profile.as_ref() == Some(&block.name),
        BlockKind::Guard => subject.guards.contains(&block.name),
    }
}

/// The rules of a block; the profile's default, which has no place of its own, is none of them.
fn rules(metadata: &Metadata, index: usize) -> impl Iterator<Item = Rule> + '_ {
    let is_default = |rule: &RuleInfo| rule.origin.is_empty() && rule.text.starts_with("no rule of profile ");
    let own = metadata.rules.iter().filter(move |rule| rule.block as usize == index && !is_default(rule));
    own.map(|rule| Rule { text: rule.text.clone(), because: rule.because.clone(), origin: rule.origin.clone() })
}

fn blocks(metadata: &Metadata, binds: &dyn Fn(&BlockInfo) -> bool) -> Vec<Block> {
    let own = metadata.blocks.iter().enumerate().filter(|(_, block)| binds(block));
    let block = |(index, block): (usize, &BlockInfo)| Block {
        kind: block.kind,
        name: block.name.clone(),
        mode: block.mode.to_string(),
        units: block.units.clone(),
        exec: block.exec.clone(),
        host: block.host,
        rules: rules(metadata, index).collect(),
    };
    own.map(block).collect()
}

fn changed(since: u64, before: &Metadata, now: &Metadata, binds: &dyn Fn(&BlockInfo) -> bool) -> Changed {
    let texts = |metadata: &Metadata| -> BTreeSet<String> {
        let all = metadata.blocks.iter().enumerate().filter(|(_, block)| binds(block));
        let of = |(index, block): (usize, &BlockInfo)| {
            let mode = format!("{}: mode {}", block.name, block.mode);
            let limits = block.limits.iter().map(|limit| format!("{}: {}", block.name, limit.text()));
            let rules = rules(metadata, index).map(|rule| format!("{}: {}", block.name, rule.text));
            [mode].into_iter().chain(limits).chain(rules).collect::<Vec<_>>()
        };
        all.flat_map(of).collect()
    };
    let (old, new) = (texts(before), texts(now));
    Changed { since, added: new.difference(&old).cloned().collect(), removed: old.difference(&new).cloned().collect() }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = if self.pending { ", waits for confirmation" } else { "" };
        write!(f, "policy     {} serial {}{waits}", self.policy, self.serial)?;
        if let (Some(unit), Some(subject)) = (&self.unit, &self.subject) {
            write!(f, "\nunit       {unit}, subject {subject}")?;
        }
        if let Some(audit) = &self.audit {
            write!(f, "\naudit      {audit}")?;
        }
        if let Some(windows) = &self.windows {
            write!(f, "\nwindows    {windows}")?;
        }
        for q in &self.quarantined {
            write!(f, "\nquarantine {} since {}", q.who(), q.since)?;
        }
        for limit in &self.limits {
            write!(f, "\nlimit      {limit}")?;
        }
        for block in &self.blocks {
            write!(f, "\n\n{block}")?;
        }
        if let Some(changed) = &self.changed {
            write!(f, "\n\nchanged since serial {}:", changed.since)?;
            if changed.added.is_empty() && changed.removed.is_empty() {
                write!(f, " nothing")?;
            }
            for line in &changed.added {
                write!(f, "\n  + {line}")?;
            }
            for line in &changed.removed {
                write!(f, "\n  - {line}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, mode {}", self.kind, self.name, self.mode)?;
        for (word, patterns) in [("unit", &self.units), ("exec", &self.exec)] {
            for pattern in patterns {
                write!(f, ", {word} {pattern}")?;
            }
        }
        if self.host {
            write!(f, ", every task")?;
        }
        for rule in &self.rules {
            let origin = if rule.origin.is_empty() { String::new() } else { format!("    # {}", rule.origin) };
            write!(f, "\n  {}{};{origin}", rule.text, Because::clause(&rule.because))?;
        }
        Ok(())
    }
}
