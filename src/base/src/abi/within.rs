//! What tables and those within them, which are for other hosts, must have in common.

use super::error::TablesError;
use super::hosts::MAX_HOSTS;
use super::metadata::Metadata;

pub(super) fn check(first: &Metadata, others: &[&Metadata]) -> Result<(), TablesError> {
    let wrong = |what: &str| Err(TablesError::Mismatch(format!("tables for hosts: {what}")));
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
        let of = |m: &Metadata| (m.policy, m.serial, m.kernel.clone(), m.windows.clone(), m.image.clone());
        if of(first) != of(other) || first.source != other.source || other.hosts.is_some() {
            return wrong("those within are of another policy");
        }
        let twice = others[..n].iter().any(|before| before.on == other.on);
        if other.on.is_empty() || !other.on.is_sorted_by(|a, b| a < b) || twice {
            return wrong("those within are not each for patterns of their own");
        }
    }
    Ok(())
}
