//! Responses that last: their beginning and end, each told once, over restarts of the agent, too.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use kiln_base::abi::layout::QuarantineKey;
use kiln_base::bundle::write_aside;
use kiln_base::event::{Phase, Response, rfc3339};

use crate::error::Result;
use crate::label::quarantine::{self, Held};
use crate::label::slots::LabelTable;
use crate::load::maps::Maps;
use crate::machine::clock::boot_unix_ns;
use crate::machine::files::read_optional;
use crate::machine::{journal, lines};
use crate::report::explain::Explainer;

/// Longest file of what was told: each entry has a rule's text in it.
const MOST: u64 = 16 << 20;

/// What was told.
#[derive(Debug)]
pub struct Responses {
    path: PathBuf,
    told: BTreeMap<QuarantineKey, Response>,
}

impl Responses {
    /// What an agent before this one told. Where that is lost, the beginnings are told again.
    pub fn open(run: &Path) -> Responses {
        let path = run.join("responses.json");
        let bytes = read_optional(&path, MOST).ok().flatten().unwrap_or_default();
        let list: Vec<(u64, u64, Response)> = serde_json::from_slice(&bytes).unwrap_or_default();
        let told = list.into_iter().map(|(id, start, response)| (QuarantineKey { id, start }, response));
        Responses { path, told: told.collect() }
    }

    /// Tells what began and what ended since. Costs nothing on a machine that never had one in this boot.
    ///
    /// # Errors
    /// Of the kernel, or if what was told cannot be noted.
    pub fn watch(&mut self, maps: &Maps, cgroups: &Path, labels: &LabelTable, explainer: &Explainer) -> Result<()> {
        if !maps.state.quarantines() && self.told.is_empty() {
            return Ok(());
        }
        let mut now = quarantine::keys(&maps.quarantined)?;
        if now.iter().any(|key| !self.told.contains_key(key)) || now.iter().any(|key| key.start != 0) {
            for held in quarantine::list(&maps.quarantined, cgroups)? {
                if held.is_over() {
                    quarantine::forget(&maps.quarantined, &held)?;
                    now.remove(&held.key);
                } else if let Entry::Vacant(place) = self.told.entry(held.key) {
                    let response = describe(&held, labels, explainer);
                    tell(&response);
                    place.insert(response);
                    self.note()?;
                }
            }
        }
        let over: Vec<QuarantineKey> = self.told.keys().filter(|key| !now.contains(key)).copied().collect();
        self.end(&over, Phase::Ended)
    }

    /// Tells that these ended.
    ///
    /// # Errors
    /// If it cannot be noted.
    pub fn end(&mut self, keys: &[QuarantineKey], phase: Phase) -> Result<()> {
        for key in keys {
            if let Some(response) = self.told.remove(key) {
                tell(&Response { phase, ..response });
            }
        }
        if keys.is_empty() { Ok(()) } else { self.note() }
    }

    fn note(&self) -> Result<()> {
        let list: Vec<(u64, u64, &Response)> = self.told.iter().map(|(key, r)| (key.id, key.start, r)).collect();
        let bytes = serde_json::to_vec(&list).unwrap_or_default();
        Ok(write_aside(&self.path, &bytes, 0o600)?)
    }
}

/// One as it is told.
pub fn describe(held: &Held, labels: &LabelTable, explainer: &Explainer) -> Response {
    let entry = &held.entry;
    let rule = explainer.rule(entry.serial, entry.rule);
    let since = boot_unix_ns().saturating_add(i64::try_from(entry.time_ns).unwrap_or(i64::MAX));
    Response {
        schema: "kiln.response.v1".to_owned(),
        phase: Phase::Began,
        action: "quarantine".to_owned(),
        unit: held.unit(),
        cgroup_id: (held.key.start == 0).then_some(held.key.id),
        pid: held.pid(),
        since: rfc3339(since),
        by: entry.pid,
        subject: labels.key(entry.label).map_or_else(|| format!("label-{}", entry.label), str::to_owned),
        serial: explainer.serial(entry.serial),
        rule: rule.map(|r| r.text.to_owned()),
        because: rule.map_or_else(Vec::new, |r| r.because.to_vec()),
    }
}

/// Tells one, on standard output and in the journal.
pub fn tell(response: &Response) {
    lines::print_line(response);
    let without = if response.by == 0 { "a limit that was met" } else { "by a rule of an earlier policy" };
    let message = format!(
        "{} of {} {}: {}",
        response.action,
        response.who(),
        response.phase,
        response.rule.as_deref().unwrap_or(without)
    );
    journal::send(&[
        ("MESSAGE", &message),
        ("PRIORITY", if response.phase == Phase::Began { "3" } else { "5" }),
        ("SYSLOG_IDENTIFIER", "kiln-agent"),
        ("KILN_RESPONSE", &response.action),
        ("KILN_SUBJECT", &response.who()),
        ("KILN_SERIAL", &response.serial.to_string()),
    ]);
}
