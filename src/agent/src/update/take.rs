//! Taking a newer policy: from files by an operator, or from the POS. One path for both.

use kiln_base::bundle::Envelope;
use kiln_base::event::Evidence;

use crate::error::{AgentError, Number, Result};
use crate::machine::clock::now_ns;
use crate::update::engine::Engine;
use crate::update::stay;
use crate::update::store::{Store, Verified};
use crate::update::switch::switch;
use crate::update::tighten;
use crate::update::trusted::Trusted;

/// Makes a verified policy active. With `confirm_within` (seconds) it must be confirmed in that time, or the policy
/// before comes back; without, the proof confirms it.
///
/// # Errors
/// If it is not newer than all before, or cannot be enforced: then the one before is in force.
pub fn apply(engine: &mut Engine, policy: &Verified, confirm_within: Option<u64>) -> Result<Evidence> {
    if policy.tightening.is_some() {
        return tighten::take(engine, policy, confirm_within);
    }
    let marks = engine.store.marks()?;
    let active = engine.records()?.active;
    if policy.digest == *active.build() && policy.sequence > marks.sequence {
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

/// Verifies an update. `place`: what the tables are called.
///
/// # Errors
/// If a signature does not hold.
pub fn verify(
    trusted: &Trusted,
    place: &str,
    tables: Vec<u8>,
    signature: Vec<u8>,
    assignment: Option<&[u8]>,
    instance: Option<&str>,
) -> Result<Verified> {
    let policy = Verified::check(place, tables, signature, trusted)?;
    match assignment {
        None => Ok(policy),
        Some(bytes) => policy.assigned(&Envelope::parse(bytes)?, instance.unwrap_or_default(), trusted),
    }
}
