//! One unit in audit mode for a time, by an operator's word. The kernel programs end it by their clock
//! (`bpf/include/audit.h`); what is here begins it, tells its end, and remembers who asked.

use std::fmt;
use std::path::{Path, PathBuf};

use kiln_base::abi::Tables;
use kiln_base::abi::layout::{LABEL_HOST, S_PROFILE, S_VARIES};
use kiln_base::abi::metadata::{HOST_KEY, SubjectInfo};
use kiln_base::bundle::write_aside;
use kiln_base::event::rfc3339;
use kiln_base::model::{cgroup_name, unit_of_cgroup};
use serde::{Deserialize, Serialize};

use crate::bpf::word::Audited;
use crate::config::OperatorAudit;
use crate::error::{AgentError, Refusal, Result, Step};
use crate::label::bearer::Labels;
use crate::label::process::Process;
use crate::label::who;
use crate::limit::bound::cgroup;
use crate::load::maps::Maps;
use crate::machine::caller::Caller;
use crate::machine::clock::{boot_unix_ns, now_ns};
use crate::machine::files::read_optional;
use crate::report::acts::{Act, Operation};
use crate::update::engine::Engine;

/// Longest time that can be asked for.
pub const MOST_SECONDS: u64 = 24 * 3600;
const MOST_NOTE: u64 = 64 * 1024;

/// A unit in audit mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The unit.
    pub unit: String,
    /// Its subject, `profile|guard,guard`.
    pub subject: String,
    /// Serial of the policy.
    pub serial: u64,
    /// RFC 3339, UTC: when it ends.
    pub until: String,
    /// The user who asked for it.
    pub uid: u32,
    /// Who that user had logged in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<u32>,
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} until {}: what its profile refuses is only reported; user {} asked",
            self.unit, self.until, self.uid
        )
    }
}

fn note_path(run: &Path) -> PathBuf {
    run.join("audit.json")
}

fn time(until_ns: u64) -> String {
    rfc3339(boot_unix_ns().saturating_add(i64::try_from(until_ns).unwrap_or(i64::MAX)))
}

/// The unit that is in audit mode now, by the kernel programs' own account.
pub fn current(run: &Path, maps: &Maps) -> Option<Audit> {
    let told = maps.state.audited().filter(|told| is_in_force(told, maps))?;
    Some(described(run, maps, &told))
}

fn is_in_force(told: &Audited, maps: &Maps) -> bool {
    now_ns() < told.until_ns && maps.active().is_some_and(|index| maps.state.serial(index) == told.serial)
}

/// The policy's serial of a generation's number, which has more where the policy is tightened.
fn plain(number: u64) -> u64 {
    number & u64::from(u32::MAX)
}

fn is_of(serial: u64, told: &Audited) -> bool {
    serial == told.serial || serial == plain(told.serial)
}

/// With what was noted of who asked; where that is lost, what the kernel has.
fn described(run: &Path, maps: &Maps, told: &Audited) -> Audit {
    let unit = unit_of_cgroup(&told.cgroup).to_owned();
    let bytes = read_optional(&note_path(run), MOST_NOTE).ok().flatten().unwrap_or_default();
    let noted = serde_json::from_slice::<Audit>(&bytes).ok().filter(|n| n.unit == unit && is_of(n.serial, told));
    let key = |label: u32| maps.labels_given().ok()?.key(label).map(str::to_owned);
    noted.unwrap_or_else(|| Audit {
        unit,
        subject: key(told.label).unwrap_or_else(|| format!("label-{}", told.label)),
        serial: plain(told.serial),
        until: time(told.until_ns),
        uid: 0,
        login: None,
    })
}

/// Puts a unit into audit mode. It is refused for who is confined, and where it could not be for that unit's profile alone.
///
/// # Errors
/// [`Refusal`]; of the kernel.
pub fn begin(engine: &mut Engine, unit: &str, seconds: u64, caller: &Caller) -> Result<Audit> {
    if engine.config.operator_audit == OperatorAudit::Refuse {
        return Err(Refusal::AuditForbidden(engine.places.config()).into());
    }
    watch(engine).iter().for_each(Act::tell);
    if let Some(other) = current(&engine.places.run, &engine.maps).filter(|other| other.unit != unit) {
        return Err(Refusal::OtherAudited(other.unit).into());
    }
    let records = engine.records()?;
    let tables = engine.keeper.tables(&records.active)?;
    let info = subject_of(engine, &tables, unit)?;
    let guards =
        guards_of(&tables, info).ok_or_else(|| Refusal::GuardsTogether(unit.to_owned(), info.guards.join(", ")))?;
    let label = |key: &str| if key == HOST_KEY { Some(LABEL_HOST) } else { engine.labels.label(key) };
    let (Some(own), Some(guards)) = (label(&info.key), label(&guards.key)) else {
        return Err(Refusal::NoProfile(unit.to_owned()).into());
    };
    let until_ns = now_ns().saturating_add(seconds.min(MOST_SECONDS).saturating_mul(1_000_000_000));
    let audit = Audit {
        unit: unit.to_owned(),
        subject: info.key.clone(),
        serial: records.active.serial,
        until: time(until_ns),
        uid: caller.uid,
        login: caller.login,
    };
    // First: who finds it in force finds who asked for it.
    write_aside(&note_path(&engine.places.run), &serde_json::to_vec(&audit).unwrap_or_default(), 0o600)?;
    let told = Audited { until_ns, serial: records.active.number(), label: own, guards, cgroup: cgroup_name(unit) };
    engine.maps.state.set_audited(&told).map_err(|e| AgentError::kernel(Step::TellAudit, e))?;
    Ok(audit)
}

/// Ends it before its time.
///
/// # Errors
/// [`Refusal::NotAudited`].
pub fn end(engine: &mut Engine, unit: &str) -> Result<Audit> {
    let audit = current(&engine.places.run, &engine.maps).filter(|audit| audit.unit == unit);
    let audit = audit.ok_or_else(|| Refusal::NotAudited(unit.to_owned()))?;
    forget(engine);
    Ok(audit)
}

/// Takes note that its time is over, or that its policy is another now; what is to be told of that. To be called often.
pub fn watch(engine: &Engine) -> Option<Act> {
    let told = engine.maps.state.audited().filter(|told| !is_in_force(told, &engine.maps))?;
    let audit = described(&engine.places.run, &engine.maps, &told);
    forget(engine);
    let why = if now_ns() < told.until_ns { "the policy is another" } else { "its time is over" };
    Some(Act::by_agent(Operation::AuditEnd).of_unit(&audit.unit).serial(audit.serial).because(why))
}

fn forget(engine: &Engine) {
    engine.maps.state.end_audited();
    let _ = std::fs::remove_file(note_path(&engine.places.run));
}

/// Whether who asks is outside of all confined units. The kernel programs refuse the socket and the maps to the others;
/// this is where it does not hang on them.
///
/// # Errors
/// [`Refusal::Confined`]; if it cannot be found out.
pub fn free(engine: &Engine, caller: &Caller) -> Result<()> {
    let refused = || AgentError::from(Refusal::Confined(caller.pid));
    let process = Process::read(&engine.places.proc, caller.pid.cast_signed())?.ok_or_else(refused)?;
    let groups = who::groups(&engine.maps.cgroups, &engine.places.cgroups)?;
    match who::bound(process, Labels(&engine.maps.labels), &groups)? {
        Some(_) => Err(refused()),
        None => Ok(()),
    }
}

/// The subject of a unit: what its cgroup has where it runs, or will have.
fn subject_of<'t>(engine: &Engine, tables: &'t Tables, unit: &str) -> Result<&'t SubjectInfo> {
    let none = || AgentError::from(Refusal::NoProfile(unit.to_owned()));
    let slots = engine.labels.slots(&tables.metadata.subjects);
    let running = cgroup(&engine.places.cgroups, unit).and_then(|path| std::fs::metadata(path).ok());
    let index = match running {
        Some(group) => {
            let inode = std::os::unix::fs::MetadataExt::ino(&group);
            let label = engine.maps.cgroups.read::<u32>(&inode);
            let label = label.map_err(|e| AgentError::kernel(Step::ReadCgroupLabels, e))?.ok_or_else(none)?;
            slots.slot.get(label as usize).map_or(0, |slot| slot.saturating_sub(1))
        }
        None => tables.kernel.after_unit(1, cgroup_name(unit).as_bytes()),
    };
    let info = tables.metadata.subjects.iter().find(|s| s.index == index).ok_or_else(none)?;
    if info.quarantined() {
        return Err(Refusal::Quarantined(unit.to_owned()).into());
    }
    let flags = tables.kernel.subject(index).map_or(0, |s| s.flags);
    if info.profile.is_none() || flags & S_PROFILE == 0 { Err(none()) } else { Ok(info) }
}

/// The subject that the same guards bind and no profile: what it is refused stays refused.
fn guards_of<'t>(tables: &'t Tables, info: &SubjectInfo) -> Option<&'t SubjectInfo> {
    let same = |s: &&SubjectInfo| s.profile.is_none() && !s.quarantined() && s.guards == info.guards;
    let own = info.key.split_once('|')?.1;
    // What they say must be the same at any time and for any user: the programs ask it of one subject.
    let fixed = |s: &&SubjectInfo| tables.kernel.subject(s.index).is_some_and(|k| k.flags & S_VARIES == 0);
    tables.metadata.subjects.iter().filter(same).filter(fixed).find(|s| s.key.strip_prefix('|') == Some(own))
}
