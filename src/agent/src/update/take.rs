//! Taking a newer policy: from files by an operator, or from the POS. One path for both.

use std::path::Path;

use kiln_base::bundle::{Envelope, MAX_ENVELOPE};
use kiln_base::event::Evidence;

use crate::error::{AgentError, Number, Result};
use crate::machine::clock::now_ns;
use crate::machine::files::read_bounded;
use crate::update::engine::Engine;
use crate::update::stay;
use crate::update::store::{Store, Verified};
use crate::update::switch::switch;
use crate::update::trusted::Trusted;

/// Makes a verified policy active. With `confirm_within` (seconds) it must be confirmed in that time, or the policy
/// before comes back; without, the proof confirms it.
///
/// # Errors
/// If it is not newer than all before, or cannot be enforced: then the one before is in force.
pub fn apply(engine: &mut Engine, policy: &Verified, confirm_within: Option<u64>) -> Result<Evidence> {
    let marks = engine.store.marks()?;
    let active = engine.records()?.active;
    if policy.digest == active.tables && policy.sequence > marks.sequence {
        // The POS assigns what is in force already: only the number is new.
        engine.store.accept(policy)?;
        stay::assign(engine, policy.sequence)?;
        return stay::affirm(engine);
    }
    Store::check_new(&marks, policy)?;
    if policy.statement.serial <= active.serial {
        return Err(AgentError::Replay { what: Number::Serial, offered: policy.statement.serial, seen: active.serial });
    }
    // Before the flip: what was once accepted is never accepted again, however this ends.
    let accepted = engine.store.accept(policy)?;
    let deadline = confirm_within.map(|seconds| now_ns().saturating_add(seconds.saturating_mul(1_000_000_000)));
    let evidence = switch(engine, accepted, deadline)?;
    if confirm_within.is_none() {
        stay::confirm(engine)?;
    }
    Ok(evidence)
}

/// Reads and verifies an update from files.
///
/// # Errors
/// If a file cannot be read or a signature does not hold.
pub fn read(
    trusted: &Trusted,
    tables: &Path,
    signature: &Path,
    assignment: Option<&Path>,
    instance: Option<&str>,
) -> Result<Verified> {
    let policy = Verified::read(tables, signature, trusted)?;
    match assignment {
        None => Ok(policy),
        Some(path) => {
            let envelope = Envelope::parse(&read_bounded(path, MAX_ENVELOPE as u64)?)?;
            policy.assigned(&envelope, instance.unwrap_or_default(), trusted)
        }
    }
}
