//! Host names: tables of a policy that names hosts by patterns hold others within them, one for each set of patterns that
//! can match at once. Which are a machine's follows from its name alone.

use serde::{Deserialize, Serialize};

/// Most tables of one policy: without patterns that match, and with any set that does.
pub const MAX_HOSTS: usize = 32;
/// Most states of the automaton of names.
pub const MAX_STATES: usize = 1024;
/// The state before the first byte; 0 is dead.
const START: u32 = 1;

/// An automaton that reads a host name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostsInfo {
    /// The class of each byte.
    pub class: Vec<u8>,
    /// Per state, by class, the next.
    pub rows: Vec<Vec<u32>>,
    /// Per state, which of the other tables are for a name that ends there, from 1; 0: none of them.
    pub tables: Vec<u32>,
}

impl HostsInfo {
    /// Which of the other tables are for a name, from 1; 0: none of them.
    pub(super) fn find(&self, name: &[u8]) -> u32 {
        let step = |state: u32, byte: &u8| {
            let class = self.class.get(usize::from(*byte)).copied().unwrap_or_default();
            self.rows.get(state as usize).and_then(|row| row.get(usize::from(class))).copied().unwrap_or_default()
        };
        let end = name.iter().fold(START, step);
        self.tables.get(end as usize).copied().unwrap_or_default()
    }

    /// Every number lies within, and each of `others` tables is some name's.
    pub(super) fn check(&self, others: usize) -> bool {
        let (states, classes) = (self.rows.len(), self.rows.first().map_or(0, Vec::len));
        let sized = self.class.len() == 256 && (2..=MAX_STATES).contains(&states) && self.tables.len() == states;
        let within = self.class.iter().all(|c| usize::from(*c) < classes)
            && self.rows.iter().all(|row| row.len() == classes && row.iter().all(|s| (*s as usize) < states))
            && self.tables.iter().all(|t| *t as usize <= others);
        let dead = self.rows.first().is_some_and(|row| row.iter().all(|s| *s == 0)) && self.tables.first() == Some(&0);
        sized && within && dead && (1..=others).all(|n| self.tables.contains(&(n as u32)))
    }
}
