//! Host names: tables of a policy that names hosts by patterns hold others within them, one for each set of patterns that
//! can match at once. Which are a machine's follows from its name alone.

use serde::{Deserialize, Serialize};

use super::error::TablesError;
use super::tables::Tables;

/// Most tables of one policy: without patterns that match, and with any set that does.
pub const MAX_HOSTS: usize = 32;
/// Most states of the automaton of names.
const MAX_STATES: usize = 4096;
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
    fn find(&self, name: &[u8]) -> u32 {
        let step = |state: u32, byte: &u8| {
            let class = self.class.get(usize::from(*byte)).copied().unwrap_or_default();
            self.rows.get(state as usize).and_then(|row| row.get(usize::from(class))).copied().unwrap_or_default()
        };
        let end = name.iter().fold(START, step);
        self.tables.get(end as usize).copied().unwrap_or_default()
    }

    /// Every number lies within, and each of `others` tables is some name's.
    fn check(&self, others: usize) -> bool {
        let (states, classes) = (self.rows.len(), self.rows.first().map_or(0, Vec::len));
        let sized = self.class.len() == 256 && (2..=MAX_STATES).contains(&states) && self.tables.len() == states;
        let within = self.class.iter().all(|c| usize::from(*c) < classes)
            && self.rows.iter().all(|row| row.len() == classes && row.iter().all(|s| (*s as usize) < states))
            && self.tables.iter().all(|t| *t as usize <= others);
        let dead = self.rows.first().is_some_and(|row| row.iter().all(|s| *s == 0)) && self.tables.first() == Some(&0);
        sized && within && dead && (1..=others).all(|n| self.tables.contains(&(n as u32)))
    }
}

/// What tables and those within them must have in common.
pub(super) fn check(tables: &Tables) -> Result<(), TablesError> {
    let wrong = |what: &str| Err(TablesError::Mismatch(format!("tables for hosts: {what}")));
    let (first, others) = (&tables.metadata, &tables.others);
    match &first.hosts {
        None if others.is_empty() => return Ok(()),
        None => return wrong("nothing says which host they are for"),
        Some(_) if others.is_empty() || others.len() >= MAX_HOSTS => return wrong("there are none, or too many"),
        Some(hosts) if !hosts.check(others.len()) => return wrong("the automaton of names is malformed"),
        Some(_) => {}
    }
    if !first.on.is_empty() {
        return wrong("the first are for names that no pattern matches");
    }
    for (n, other) in others.iter().enumerate() {
        let m = &other.metadata;
        let same = (m.policy, &m.source, m.serial, &m.kernel, &m.windows, &m.image)
            == (first.policy, &first.source, first.serial, &first.kernel, &first.windows, &first.image);
        if !same || m.hosts.is_some() || !other.others.is_empty() {
            return wrong("those within are of another policy");
        }
        let twice = others[..n].iter().any(|before| before.metadata.on == m.on);
        if m.on.is_empty() || !m.on.is_sorted_by(|a, b| a < b) || twice {
            return wrong("those within are not each for patterns of their own");
        }
    }
    Ok(())
}

impl Tables {
    /// The tables of a machine with this host name.
    pub fn on_host(mut self, name: &[u8]) -> Tables {
        let Some(hosts) = self.metadata.hosts.take() else { return self };
        let mut others = std::mem::take(&mut self.others);
        match (hosts.find(name) as usize).checked_sub(1).filter(|n| *n < others.len()) {
            Some(n) => others.swap_remove(n),
            None => self,
        }
    }

    /// All that a machine can have: the first, and those within.
    pub fn all(&self) -> impl Iterator<Item = &Tables> {
        std::iter::once(self).chain(&self.others)
    }
}
