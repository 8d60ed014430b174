//! Which limits hold.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kiln_base::model::Resource;

use super::super::normal::Limit;
use super::{Attachment, Evaluator};

impl Evaluator<'_> {
    /// The limits in force for an attachment: of each resource the least, with the limit that says so.
    pub fn limits(&self, attachment: &Attachment, at: Timestamp) -> BTreeMap<Resource, (u64, &Limit)> {
        let mut least: BTreeMap<Resource, (u64, &Limit)> = BTreeMap::new();
        for limit in attachment.blocks().flat_map(|id| &self.policy.blocks[id].limits) {
            if limit.during.as_ref().is_some_and(|window| !self.windows.is_open(window, at)) {
                continue;
            }
            for (resource, value) in limit.amount.resources() {
                let entry = least.entry(resource).or_insert((value, limit));
                if value < entry.0 {
                    *entry = (value, limit);
                }
            }
        }
        least
    }
}
