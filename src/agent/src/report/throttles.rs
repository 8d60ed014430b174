//! Throttles: their beginning and end, each told once, over restarts of the agent, too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_base::bundle::write_aside;
use kiln_base::event::{Phase, Response, rfc3339};

use crate::error::Result;
use crate::label::slots::LabelTable;
use crate::limit::throttle::{self, Slowed};
use crate::load::maps::Maps;
use crate::machine::clock::boot_unix_ns;
use crate::machine::files::read_optional;
use crate::report::explain::Explainer;
use crate::report::responses::tell;

/// Longest file of what was told: each entry has a rule's text in it.
const MOST: u64 = 16 << 20;

/// What was told, by the id of the unit's cgroup, with the time at which it began.
#[derive(Debug)]
pub struct Throttles {
    path: PathBuf,
    told: BTreeMap<u64, (u64, Response)>,
}

impl Throttles {
    /// What an agent before this one told. Where that is lost, the beginnings are told again.
    pub fn open(run: &Path) -> Throttles {
        let path = run.join("throttles.json");
        let bytes = read_optional(&path, MOST).ok().flatten().unwrap_or_default();
        let told: Vec<(u64, u64, Response)> = serde_json::from_slice(&bytes).unwrap_or_default();
        Throttles { path, told: told.into_iter().map(|(id, time, response)| (id, (time, response))).collect() }
    }

    /// Tells what began and what ended since, and ends what is over. `wanted`: the policy throttles at all.
    ///
    /// # Errors
    /// Of the kernel, or if what was told cannot be noted.
    pub fn watch(
        &mut self,
        maps: &Maps,
        cgroups: &Path,
        labels: &LabelTable,
        explainer: &Explainer,
        wanted: bool,
    ) -> Result<()> {
        let mut now = throttle::list(maps, cgroups)?;
        for over in now.extract_if(.., |slowed| !wanted || slowed.is_over() || slowed.cgroup.is_none()) {
            throttle::forget(maps, over.id)?;
        }
        let same = |id: &u64, time: u64| now.iter().any(|slowed| slowed.id == *id && slowed.entry.time_ns == time);
        let over: Vec<u64> = self.told.iter().filter(|(id, (time, _))| !same(id, *time)).map(|(id, _)| *id).collect();
        self.end(&over, Phase::Ended)?;
        for slowed in now.iter().filter(|slowed| !self.told.contains_key(&slowed.id)).collect::<Vec<_>>() {
            let response = describe(slowed, labels, explainer);
            tell(&response);
            self.told.insert(slowed.id, (slowed.entry.time_ns, response));
            self.note()?;
        }
        Ok(())
    }

    /// Tells that these ended.
    ///
    /// # Errors
    /// If it cannot be noted.
    pub fn end(&mut self, ids: &[u64], phase: Phase) -> Result<()> {
        for id in ids {
            if let Some((_, response)) = self.told.remove(id) {
                tell(&Response { phase, ..response });
            }
        }
        if ids.is_empty() { Ok(()) } else { self.note() }
    }

    fn note(&self) -> Result<()> {
        let list: Vec<(u64, u64, &Response)> = self.told.iter().map(|(id, (time, r))| (*id, *time, r)).collect();
        let bytes = serde_json::to_vec(&list).unwrap_or_default();
        Ok(write_aside(&self.path, &bytes, 0o600)?)
    }
}

/// One as it is told.
pub fn describe(slowed: &Slowed, labels: &LabelTable, explainer: &Explainer) -> Response {
    let entry = &slowed.entry;
    let rule = explainer.rule(entry.serial, entry.rule);
    let since = boot_unix_ns().saturating_add(i64::try_from(entry.time_ns).unwrap_or(i64::MAX));
    Response {
        schema: "kiln.response.v1".to_owned(),
        phase: Phase::Began,
        action: "throttle".to_owned(),
        unit: slowed.unit(),
        cgroup_id: Some(slowed.id),
        pid: None,
        since: rfc3339(since),
        by: entry.pid,
        subject: labels.key(entry.label).map_or_else(|| format!("label-{}", entry.label), str::to_owned),
        serial: entry.serial,
        rule: rule.map(|r| r.text.to_owned()),
        because: rule.map_or_else(Vec::new, |r| r.because.to_vec()),
    }
}
