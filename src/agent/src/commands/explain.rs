//! `kiln-agent explain`: what an event means, and which rule would permit it. Reads only, and needs no lock.

use std::fmt;
use std::io::Read;
use std::process::Command;
use std::time::Duration;

use kiln_base::abi::Tables;
use kiln_base::abi::tables::MAX_FILE;
use kiln_base::event::Violation;
use kiln_base::model::{BlockKind, Verdict};
use serde::Serialize;

use crate::config::Places;
use crate::error::{AgentError, Refusal, Result};
use crate::machine::command::within;
use crate::machine::files::read_bounded;
use crate::report::permit::{self, Permit};
use crate::update::records::Keeper;

/// Longest event that is read.
const MOST: u64 = 1 << 20;
/// For journalctl(1).
const PATIENCE: Duration = Duration::from_secs(60);

/// An event with what it means.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// Always `kiln.explain.v1`.
    pub schema: &'static str,
    /// What was asked, by whom.
    pub asked: String,
    /// What was answered.
    pub answered: String,
    /// The block and rule that decided.
    pub decided: String,
    /// Where the rule was written, `file:line`, if the policy that decided is still here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Why the rule is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// What would permit it.
    pub permit: Permit,
    /// The event.
    pub event: Violation,
}

/// Explains an event: its JSON line, its number in this boot's journal, or `-` for standard input.
///
/// # Errors
/// If that is no event.
pub fn explain(places: &Places, asked: &str) -> Result<Explained> {
    let event = match asked.parse::<u64>() {
        Ok(seq) => of_journal(seq)?,
        Err(_) if asked == "-" => {
            let mut text = String::new();
            let fail = |source| AgentError::Read { path: "standard input".into(), source };
            std::io::stdin().take(MOST).read_to_string(&mut text).map_err(fail)?;
            parse(&text)?
        }
        Err(_) => parse(asked)?,
    };
    Ok(describe(origin(places, &event), event))
}

/// The first line that is an event: what stands before it in a line of syslog is passed over.
fn parse(text: &str) -> Result<Violation> {
    let of = |line: &str| serde_json::from_str::<Violation>(&line[line.find('{')?..]).ok();
    let found = text.lines().find_map(of).filter(|event| event.schema == "kiln.violation.v1");
    // A person may have wrapped it.
    let found = found.or_else(|| of(text).filter(|event| event.schema == "kiln.violation.v1"));
    found.ok_or_else(|| Refusal::NoEvent("that is not an event".to_owned()).into())
}

fn of_journal(seq: u64) -> Result<Violation> {
    let mut command = Command::new("journalctl");
    command.args(["--unit=kiln-agent.service", "--boot", "--output=cat", "--no-pager", "--quiet"]);
    command.arg(format!("--grep=\"seq\":{seq},"));
    let refused = |why: String| AgentError::from(Refusal::NoEvent(why));
    let said = within(command, PATIENCE).map_err(|e| refused(format!("cannot ask journalctl: {e}")))?;
    let text = String::from_utf8_lossy(&said.stdout);
    let events = text.lines().filter_map(|line| parse(line).ok());
    let found = events.into_iter().find(|event| event.seq == seq);
    found.ok_or_else(|| refused(format!("the journal of this boot has no event {seq}")))
}

/// Where the rule of an event was written, by the tables of its serial: in force, before, or the image's.
fn origin(places: &Places, event: &Violation) -> Option<String> {
    let keeper = Keeper::new(&places.run);
    let records = keeper.read().ok().flatten();
    let known = records.iter().flat_map(|r| [Some(&r.active), r.previous.as_ref()]).flatten();
    let known = known.filter(|record| record.serial == event.generation).find_map(|record| keeper.metadata(record));
    let metadata = known.or_else(|| {
        let file = read_bounded(&places.baked_tables(), MAX_FILE as u64).ok()?;
        let baked = Tables::read(&file).ok()?;
        (baked.metadata.serial == event.generation).then_some(baked.metadata)
    })?;
    let block = metadata.blocks.iter().position(|block| block.name == event.profile)?;
    let rule = metadata.rules.iter().find(|rule| rule.block as usize == block && rule.text == event.rule)?;
    (!rule.origin.is_empty()).then(|| rule.origin.clone())
}

fn describe(origin: Option<String>, event: Violation) -> Explained {
    let unit = event.unit.as_ref().map(|unit| format!(" of {unit}")).unwrap_or_default();
    let program = event.exe.clone().unwrap_or_else(|| event.comm.clone());
    let asked = format!(
        "process {} ({program}){unit}, user {}, subject {}: {} {}",
        event.pid, event.uid, event.subject, event.verb, event.object
    );
    let answered = match event.verdict.known() {
        Some(Verdict::Denied) if event.action == kiln_base::model::Action::Alert => "refused".to_owned(),
        Some(Verdict::Denied) => format!("refused, then {}", event.action),
        Some(Verdict::WouldDeny) => "permitted and reported: enforced, it would be refused".to_owned(),
        Some(Verdict::Watched) => "permitted and observed".to_owned(),
        _ => event.verdict.to_string(),
    };
    let decided = match event.block_kind.known() {
        Some(BlockKind::Guard) if event.profile == "kiln" => event.rule.clone(),
        _ => format!("{} {}: {}", event.block_kind, event.profile, event.rule),
    };
    Explained {
        schema: "kiln.explain.v1",
        asked,
        answered,
        decided,
        origin,
        because: event.because.clone(),
        permit: permit::of(&event),
        event,
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serial = self.event.generation;
        writeln!(f, "asked      {}", self.asked)?;
        writeln!(f, "answered   {}, at {}", self.answered, self.event.time)?;
        writeln!(f, "by         {} (serial {serial})", self.decided)?;
        if let Some(origin) = &self.origin {
            writeln!(f, "written    {origin}")?;
        }
        for because in &self.because {
            writeln!(f, "because    {because}")?;
        }
        write!(f, "to permit  {}", self.permit.how)?;
        self.permit.rule.as_ref().map_or(Ok(()), |rule| write!(f, "\n           {rule}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"schema":"kiln.violation.v1","time":"2026-01-05T09:00:00.000000001Z","seq":9,"verdict":"denied",
        "profile":"web","block_kind":"profile","rule":"no rule allows it","verb":"read","object":"/etc/shadow",
        "mode":"enforce","severity":"medium","action":"alert","pid":812,"tid":812,"ppid":1,"uid":33,"comm":"nginx",
        "start_time_ns":1,"cgroup_id":2,"generation":3,"subject":"web|","unit":"nginx.service","exe":"/usr/sbin/nginx"}"#;

    #[test]
    fn an_event_is_found_in_what_people_paste() {
        let line = EVENT.replace('\n', " ");
        for text in
            [EVENT.to_owned(), line.clone(), format!("Jan 05 host kiln-agent[7]: {line}"), format!("x\n\n{line}\ny")]
        {
            assert_eq!(parse(&text).unwrap().seq, 9, "{text}");
        }
        for bad in
            ["", "x", "{}", "[1]", r#"{"schema":"kiln.notice.v1","notice":"x"}"#, &line.replace("violation", "other")]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn it_says_what_was_asked_why_it_was_refused_and_what_would_permit_it() {
        let text = describe(Some("web.pdl:4".to_owned()), parse(EVENT).unwrap()).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "asked      process 812 (/usr/sbin/nginx) of nginx.service, user 33, subject web|: read /etc/shadow",
                "answered   refused, at 2026-01-05T09:00:00.000000001Z",
                "by         profile web: no rule allows it (serial 3)",
                "written    web.pdl:4",
                "to permit  add to profile web",
                "           allow read \"/etc/shadow\";",
            ]
        );
    }
}
