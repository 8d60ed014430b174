//! `kiln-agent status`: what the kernel enforces now. Reads only, and needs no lock.

use kiln_base::abi::layout::TABLES_BYTES;
use kiln_base::event::{Evidence, Link, Program};
use serde::Serialize;

use crate::config::Places;
use crate::error::{AgentError, Result};
use crate::limit::usage::{self, Usage};
use crate::load::attach;
use crate::load::generation;
use crate::load::maps::{Counters, Maps};
use crate::update::records::{Keeper, Record};

/// The state of enforcement.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Always `kiln.status.v1`.
    pub schema: &'static str,
    /// Whether a generation is active and is what the records say.
    pub enforced: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The active generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Record>,
    /// The one to go back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Record>,
    /// Whether the active one waits for confirmation.
    pub pending: bool,
    /// Programs attached now.
    pub programs: Vec<Program>,
    /// Links that hold them.
    pub links: Vec<Link>,
    /// Since the programs were loaded.
    pub counters: Counters,
    /// Limits of units, and what of them is used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Usage>,
    /// The last proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// Gathers the status.
///
/// # Errors
/// If the kernel does not answer; that nothing is loaded is a status, not an error.
pub fn status(places: &Places) -> Result<Status> {
    let mut status = Status {
        schema: "kiln.status.v1",
        enforced: false,
        problem: None,
        active: None,
        previous: None,
        pending: false,
        programs: Vec::new(),
        links: Vec::new(),
        counters: Counters::default(),
        limits: Vec::new(),
        evidence: None,
    };
    let pins = crate::load::keep::find(places);
    let maps = match Maps::open(&pins) {
        Ok(maps) => maps,
        Err(e @ AgentError::NotLoaded) => {
            status.problem = Some(e.to_string());
            return Ok(status);
        }
        Err(e) => return Err(e),
    };
    status.counters = maps.counters()?;
    (status.programs, status.links) = attach::inventory(&pins)?;
    let keeper = Keeper::new(&places.run);
    let Some(index) = maps.active() else {
        status.problem = Some("the programs are loaded, but no generation is active".into());
        return Ok(status);
    };
    let Some(records) = keeper.read()?.filter(|r| r.active.index == index) else {
        status.problem = Some(format!("generation {index} is active, but its record is lost"));
        return Ok(status);
    };
    let tables = keeper.tables(&records.active);
    if let Ok(tables) = &tables {
        status.limits = usage::all(places, &maps, tables);
    }
    let words = tables.map(|t| t.kernel.words.len());
    let proven = words.and_then(|w| generation::read_back(&maps.outer, index, w.min(TABLES_BYTES / 8)));
    match proven {
        Ok(digest) if digest == records.active.readback => status.enforced = true,
        Ok(digest) => status.problem = Some(format!("the active map has {digest}, not {}", records.active.readback)),
        Err(e) => status.problem = Some(e.to_string()),
    }
    status.pending = records.pending.is_some();
    status.evidence = records.evidence;
    status.previous = records.previous;
    status.active = Some(records.active);
    Ok(status)
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.active {
            Some(a) if self.enforced => {
                writeln!(f, "enforcing  {} serial {} ({})", a.name, a.serial, a.tables)?;
                writeln!(f, "generation {}, kernel part {}", a.index, a.readback)?;
            }
            _ => writeln!(f, "not enforcing: {}", self.problem.as_deref().unwrap_or("unknown"))?,
        }
        if self.pending {
            writeln!(f, "waiting for confirmation; `kiln-agent confirm` keeps it")?;
        }
        if let Some(p) = &self.previous {
            writeln!(f, "previous   {} serial {}", p.name, p.serial)?;
        }
        for limit in &self.limits {
            writeln!(f, "limit      {limit}")?;
        }
        let c = &self.counters;
        writeln!(f, "programs   {} attached by {} links", self.programs.len(), self.links.len())?;
        write!(
            f,
            "events     {} ({} dropped); denied {}, would deny {}, failed closed {}",
            c.events, c.dropped, c.denied, c.would_deny, c.failed_closed
        )
    }
}
