//! Which limits hold.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kiln_base::model::Verb;

use super::super::normal::{Amount, Limit};
use super::{Attachment, Evaluator};

/// What is limited, apart from how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Percent of one CPU.
    Cpu,
    /// Bytes.
    Memory,
    /// Tasks.
    Pids,
    /// Descriptors of a process.
    Files,
    /// Bytes a second, of reading or writing (as `modify`).
    Io(Verb),
    /// Bits a second.
    NetworkIn,
    /// Bits a second.
    NetworkOut,
}

impl Evaluator<'_> {
    /// The limits in force for an attachment: of each resource the least, with the limit that says so.
    pub fn limits(&self, attachment: &Attachment, at: Timestamp) -> BTreeMap<Resource, (u64, &Limit)> {
        let mut least: BTreeMap<Resource, (u64, &Limit)> = BTreeMap::new();
        for limit in attachment.blocks().flat_map(|id| &self.policy.blocks[id].limits) {
            if limit.during.as_ref().is_some_and(|window| !self.windows.is_open(window, at)) {
                continue;
            }
            for (resource, value) in amounts(&limit.amount) {
                let entry = least.entry(resource).or_insert((value, limit));
                if value < entry.0 {
                    *entry = (value, limit);
                }
            }
        }
        least
    }
}

fn amounts(amount: &Amount) -> Vec<(Resource, u64)> {
    match amount {
        Amount::Cpu { percent } => vec![(Resource::Cpu, u64::from(*percent))],
        Amount::Memory { bytes } => vec![(Resource::Memory, *bytes)],
        Amount::Pids { max } => vec![(Resource::Pids, *max)],
        Amount::Files { max } => vec![(Resource::Files, *max)],
        Amount::Io { rates } => rates.iter().map(|(verb, rate)| (Resource::Io(*verb), *rate)).collect(),
        Amount::Network { inbound: true, rate } => vec![(Resource::NetworkIn, *rate)],
        Amount::Network { inbound: false, rate } => vec![(Resource::NetworkOut, *rate)],
    }
}
