//! `kiln violations`.

use std::collections::VecDeque;
use std::thread::sleep;
use std::time::Duration;

use anyhow::bail;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::pos_args::PosArgs;
use super::{Exit, Format, Out};
use crate::event::Violation;
use crate::model::{Severity, Verb, Verdict, Vocabulary, Word};
use crate::operator::Client;
use crate::wire::ViolationView;

/// How often is looked again.
const AGAIN: Duration = Duration::from_secs(1);
/// Violations of one request.
const PAGE: usize = 1000;

/// Example: kiln violations --pos https://pos.example:8443 --profile nginx --follow
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pos: PosArgs,
    /// Show at most so many, the newest (0: all that the POS keeps).
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,
    /// Then show each new one, until interrupted. With --format json, one JSON document a line.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Which violations are shown; each that is given must fit.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Only this machine's, by the name that `kiln status` shows.
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// Only what this profile or guard decided.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Only this verb: read, exec, connect, …
    #[arg(long)]
    verb: Option<Word<Verb>>,
    /// Only this verdict: denied, would_deny or watched.
    #[arg(long, value_parser = words(Verdict::ALL))]
    verdict: Option<Verdict>,
    /// Only of this severity or above.
    #[arg(long, value_parser = words(Severity::ALL))]
    severity: Option<Severity>,
    /// Only objects that contain this text.
    #[arg(long, value_name = "TEXT")]
    object: Option<String>,
}

/// Takes the words of a type, and shows them in the help.
fn words<T: Vocabulary + Send + Sync>(all: &'static [T]) -> impl TypedValueParser<Value = T> {
    let known = |text: String| all.iter().copied().find(|one| one.word() == text).ok_or("not one of these");
    PossibleValuesParser::new(all.iter().map(|one| one.word())).try_map(known)
}

impl Filter {
    fn fits(&self, violation: &Violation) -> bool {
        self.profile.as_ref().is_none_or(|asked| *asked == violation.profile)
            && self.verb.as_ref().is_none_or(|asked| *asked == violation.verb)
            && self.verdict.is_none_or(|asked| violation.verdict == asked)
            && self.object.as_deref().is_none_or(|text| violation.object.contains(text))
            // A severity that this version does not know is shown rather than hidden.
            && self.severity.is_none_or(|least| violation.severity.known().is_none_or(|found| found >= least))
    }
}

#[derive(Serialize)]
struct Report<'a> {
    violations: &'a VecDeque<ViolationView>,
}

/// Prints violations, oldest first.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let Args { pos, last, follow, filter } = args;
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if let Some(wrong) = filter.instance.as_deref().filter(|name| !is_name(name)) {
        bail!("`{}` is not a machine's name; `kiln status` shows them", wrong.escape_debug());
    }
    let (client, _) = pos.client()?;
    let (found, mut newest) = newest(&client, &filter, last)?;
    match out.format() {
        Format::Json if !follow => out.json(&Report { violations: &found })?,
        _ => found.iter().try_for_each(|violation| show(violation, out))?,
    }
    if found.is_empty() && !follow && out.format() == Format::Text {
        out.note("no violations");
    }
    if !follow {
        return Ok(Exit::Done);
    }
    loop {
        let page = client.violations_after(filter.instance.as_deref(), newest)?;
        newest = page.items.last().map_or(newest, |last| last.number);
        page.items.iter().filter(|view| filter.fits(&view.violation)).try_for_each(|view| show(view, out))?;
        if out.gone() {
            return Ok(Exit::Done);
        }
        if page.next.is_none() {
            sleep(AGAIN);
        }
    }
}

/// The newest `last` that fit (0: all), oldest first; and the number of the newest of all.
fn newest(client: &Client, filter: &Filter, last: usize) -> anyhow::Result<(VecDeque<ViolationView>, u64)> {
    let mut found = VecDeque::new();
    let (mut newest, mut before) = (0, "end".to_owned());
    let limit = if last == 0 { PAGE } else { last.min(PAGE) };
    loop {
        let page = client.violations_before(filter.instance.as_deref(), &before, limit)?;
        for view in page.items {
            newest = newest.max(view.number);
            if filter.fits(&view.violation) {
                found.push_front(view);
            }
            if last != 0 && found.len() == last {
                return Ok((found, newest));
            }
        }
        match page.next {
            Some(next) => before = next,
            None => return Ok((found, newest)),
        }
    }
}

fn show(view: &ViolationView, out: &mut Out) -> anyhow::Result<()> {
    if out.format() == Format::Json {
        return Ok(out.raw(format!("{}\n", serde_json::to_string(view)?).as_bytes())?);
    }
    Ok(out.line(line(view))?)
}

/// One line. What a machine says is shown with its control characters escaped.
fn line(ViolationView { instance, violation, .. }: &ViolationView) -> String {
    let Violation { time, verdict, verb, object, comm, pid, uid, block_kind, profile, rule, .. } = violation;
    // RFC 3339 to the second.
    let second = time.get(..19).unwrap_or(time);
    let text = format!(
        "{second}Z  {instance}  {verdict}  {verb} {object}  by {comm} (pid {pid}, uid {uid})  {block_kind} {profile}: {rule}"
    );
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    safe
}
