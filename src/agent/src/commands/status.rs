//! `kiln-agent status`: what the kernel enforces now. Reads only, and needs no lock.

use kiln_base::abi::layout::{H_THROTTLE, TABLES_BYTES};
use kiln_base::abi::metadata::Metadata;
use kiln_base::event::{Evidence, Link, Program, Response, rfc3339};
use kiln_base::window::text;
use serde::Serialize;

use crate::config::Places;
use crate::error::{AgentError, Result};
use crate::label::bearer::Labels;
use crate::label::quarantine::{self, Descendant};
use crate::label::who;
use crate::limit::now::Clockwork;
use crate::limit::throttle;
use crate::limit::usage::{self, Usage};
use crate::load::attach;
use crate::load::generation;
use crate::load::maps::{Counters, Maps};
use crate::machine::clock::boot_unix_ns;
use crate::report::explain::Explainer;
use crate::report::{responses, throttles};
use crate::update::audit::{self, Audit};
use crate::update::calls::{self, Unfiltered};
use crate::update::records::{Keeper, Record};
use crate::update::tighten;
use crate::update::windows;

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
    /// Which of its windows are open, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// Programs attached now.
    pub programs: Vec<Program>,
    /// Links that hold them.
    pub links: Vec<Link>,
    /// Since the programs were loaded.
    pub counters: Counters,
    /// Processes without the filter of system calls that the policy has for their unit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfiltered: Vec<Unfiltered>,
    /// Who is in quarantine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Response>,
    /// Descendants of who is in quarantine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub descendants: Vec<Descendant>,
    /// The unit that an operator has put into audit mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// Who is throttled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub throttled: Vec<Throttled>,
    /// Limits of units that hold now, and what of them is used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Usage>,
    /// The last proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// A unit that is throttled.
#[derive(Debug, Serialize)]
pub struct Throttled {
    /// As it was told.
    #[serde(flatten)]
    pub response: Response,
    /// RFC 3339, UTC: until when, unless it is asked for again.
    pub until: String,
}

/// Which windows are open by what the kernel programs were told.
#[derive(Debug, Serialize)]
pub struct Windows {
    /// Whether the programs can tell which are open; else what needs an open window is refused.
    pub known: bool,
    /// Whether they know where the kernel keeps the wall clock.
    pub clock: bool,
    /// The names of those that are open.
    pub open: Vec<String>,
    /// Until when it is known, in seconds of the wall clock.
    pub until: i64,
}

impl Windows {
    fn of(maps: &Maps, index: u32, metadata: &Metadata) -> Option<Windows> {
        if metadata.windows.is_empty() {
            return None;
        }
        let (schedule, clock) = (maps.clock.read(index), maps.clock.is_known());
        let open = schedule.open(windows::now()).filter(|_| clock);
        let names = metadata.windows.iter().enumerate();
        let is_open = |n: usize| open.is_some_and(|open| open >> n & 1 != 0);
        Some(Windows {
            known: open.is_some(),
            clock,
            open: names.filter(|(n, _)| is_open(*n)).map(|(_, w)| w.name.clone()).collect(),
            until: schedule.until,
        })
    }
}

impl std::fmt::Display for Windows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let refused = "what needs an open window is refused";
        let open = if self.open.is_empty() { "none".to_owned() } else { self.open.join(", ") };
        let until = text(self.until);
        match self.until - windows::now() {
            _ if !self.clock => write!(f, "unknown: the kernel does not show where it keeps the wall clock; {refused}"),
            _ if !self.known => {
                write!(f, "unknown since {until}; {refused} until `kiln-agent run` or `load` tells more")
            }
            left if left < windows::SOON => {
                write!(f, "{open} open; WARNING: known until {until} only, from then on {refused}; does the agent run?")
            }
            _ => write!(f, "{open} open; known until {until}"),
        }
    }
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
        windows: None,
        programs: Vec::new(),
        links: Vec::new(),
        counters: Counters::default(),
        unfiltered: Vec::new(),
        quarantined: Vec::new(),
        descendants: Vec::new(),
        audit: None,
        throttled: Vec::new(),
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
    (status.quarantined, status.descendants) = quarantined(places, &maps, &keeper)?;
    status.throttled = throttled(places, &maps, &keeper)?;
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
        status.unfiltered = calls::unfiltered(&places.proc, tables);
        let throttles = tables.kernel.header.required_hooks_lo & H_THROTTLE != 0;
        let now = Clockwork::new(&tables.metadata, throttles).now(places, &maps)?;
        status.limits = usage::all(places, &maps, tables, &now);
    }
    status.windows = tables.as_ref().ok().and_then(|t| Windows::of(&maps, index, &t.metadata));
    let words = tables.map(|t| t.kernel.words.len());
    let proven = words.and_then(|w| generation::read_back(&maps.outer, index, w.min(TABLES_BYTES / 8)));
    match proven {
        Ok(digest) if digest == records.active.readback => status.enforced = true,
        Ok(digest) => status.problem = Some(format!("the active map has {digest}, not {}", records.active.readback)),
        Err(e) => status.problem = Some(e.to_string()),
    }
    status.audit = audit::current(&places.run, &maps);
    status.pending = records.pending.is_some();
    status.evidence = records.evidence;
    status.previous = records.previous;
    status.active = Some(records.active);
    Ok(status)
}

fn quarantined(places: &Places, maps: &Maps, keeper: &Keeper) -> Result<(Vec<Response>, Vec<Descendant>)> {
    if !maps.state.quarantines() {
        return Ok((Vec::new(), Vec::new()));
    }
    let held = quarantine::list(&maps.quarantined, &places.cgroups)?;
    let labels = maps.labels_given()?;
    let groups = who::groups(&maps.cgroups, &places.cgroups)?;
    let bound = who::all(Labels(&maps.labels), &groups, &places.proc)?;
    let descendants = quarantine::descendants(&bound, &held, &labels);
    let explainer = explainer(keeper)?;
    let live = held.iter().filter(|h| !h.is_over());
    Ok((live.map(|h| responses::describe(h, &labels, &explainer)).collect(), descendants))
}

fn throttled(places: &Places, maps: &Maps, keeper: &Keeper) -> Result<Vec<Throttled>> {
    let all = throttle::list(maps, &places.cgroups)?;
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let (labels, explainer) = (maps.labels_given()?, explainer(keeper)?);
    let until = |ns: u64| rfc3339(boot_unix_ns().saturating_add(i64::try_from(ns).unwrap_or(i64::MAX)));
    let one = |slowed: &throttle::Slowed| Throttled {
        response: throttles::describe(slowed, &labels, &explainer),
        until: until(slowed.entry.until_ns),
    };
    Ok(all.iter().filter(|slowed| !slowed.is_over()).map(one).collect())
}

/// Knows the rules of what is, and was, in force.
fn explainer(keeper: &Keeper) -> Result<Explainer> {
    let mut explainer = Explainer::new(boot_unix_ns());
    for record in keeper.read()?.iter().flat_map(|r| r.previous.iter().chain([&r.active])) {
        if let Some(metadata) = keeper.metadata(record) {
            explainer.learn(record.number(), metadata);
        }
    }
    Ok(explainer)
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
        if let Some(t) = self.active.as_ref().and_then(|a| a.tightened.as_ref()) {
            let (until, left) = (text(t.expires as i64), tighten::left_now(t));
            let soon = match left {
                0 => "; WARNING: it has expired, and stays in force until `kiln-agent run` or `load` ends it",
                1..=86_400 => "; WARNING: less than a day is left, then the build's own policy is enforced again",
                _ => "",
            };
            writeln!(f, "tightened  until {until}, tightening {} of the build's policy {}{soon}", t.number, t.base)?;
        }
        if self.pending {
            writeln!(f, "waiting for confirmation; `kiln-agent confirm` keeps it")?;
        }
        if let Some(w) = &self.windows {
            writeln!(f, "windows    {w}")?;
        }
        if let Some(p) = &self.previous {
            writeln!(f, "previous   {} serial {}", p.name, p.serial)?;
        }
        for process in &self.unfiltered {
            let Unfiltered { pid, unit } = process;
            writeln!(
                f,
                "unfiltered process {pid} of {unit}: it has no filter of system calls until the unit starts again"
            )?;
        }
        for q in &self.quarantined {
            writeln!(
                f,
                "quarantine {} since {}: {}",
                q.who(),
                q.since,
                q.rule.as_deref().unwrap_or("an earlier policy")
            )?;
        }
        for d in &self.descendants {
            writeln!(f, "quarantine process {} by descent: {}", d.pid, d.subject)?;
        }
        if let Some(audit) = &self.audit {
            writeln!(f, "audit      {audit}")?;
        }
        for Throttled { response, until } in &self.throttled {
            let rule = response.rule.as_deref().unwrap_or("a limit that was met, or an earlier policy");
            writeln!(f, "throttled  {} since {} until {until}: {rule}", response.who(), response.since)?;
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
