//! A policy that the build did not sign, in the place of the build's for a time: taken if it is proven to be a subset, ended by
//! its expiry, by an operator, or by a newer policy of the build.

use kiln_base::abi::metadata::QUARANTINE;
use kiln_base::abi::subset::prove;
use kiln_base::bundle::Tightening;
use kiln_base::event::Evidence;
use kiln_base::window::text;

use crate::error::{AgentError, Lack, Refusal, Result};
use crate::label::slots::{LabelTable, Slots};
use crate::machine::clock::{now_ns, wall_ns};
use crate::machine::{journal, lines};
use crate::update::engine::Engine;
use crate::update::records::Record;
use crate::update::stay;
use crate::update::store::{Accepted, Store, Verified};
use crate::update::switch::switch;
use crate::update::tightened::Tightened;
use crate::update::trusted::Trusted;

const SECOND: u64 = 1_000_000_000;
/// When it is said that a tightened policy ends soon, in seconds before.
const SOON: [u64; 3] = [86_400, 3_600, 300];
/// How often the clock is noted, and an end that failed is tried again, in nanoseconds.
const NOTE_EVERY: u64 = 300 * SECOND;
const RETRY_EVERY: u64 = 60 * SECOND;

/// Seconds of the wall clock.
fn now() -> u64 {
    wall_ns() / SECOND
}

/// Makes a tightened policy active, if it is a subset of the build's policy that is in force or that it stands in for already.
///
/// # Errors
/// If it is not for this policy, not new, has expired, or is wider; what was enforced stays so.
pub fn take(engine: &mut Engine, policy: &Verified, confirm_within: Option<u64>) -> Result<Evidence> {
    let Some(signed) = &policy.tightening else { return Err(Lack::NoBuild.into()) };
    let records = engine.records()?;
    if records.pending.is_some() {
        return Err(Refusal::Unconfirmed.into());
    }
    if signed.base != *records.active.build() || signed.serial != records.active.serial {
        return Err(Refusal::OtherBase { offered: signed.serial, active: records.active.serial }.into());
    }
    in_time(signed, now())?;
    Store::check_new_tightening(&engine.store.marks()?, signed)?;
    let build = build(engine, &records.active)?;
    subset(&build, policy, &engine.labels)?;
    let accepted = engine.store.accept(policy)?;
    let deadline = confirm_within.map(|seconds| now_ns().saturating_add(seconds.saturating_mul(SECOND)));
    let evidence = switch(engine, accepted, deadline)?;
    if confirm_within.is_none() {
        stay::confirm(engine)?;
    }
    tell(
        &records.active,
        &format!(
            "the policy of serial {} is tightened until {} (tightening {})",
            signed.serial,
            text(signed.expires as i64),
            signed.number
        ),
    );
    Ok(evidence)
}

fn in_time(signed: &Tightening, now: u64) -> Result<()> {
    if now < signed.expires { Ok(()) } else { Err(Refusal::Expired(text(signed.expires as i64)).into()) }
}

/// Proves that a policy is a subset of the build's: for whatever comes, and for every task that has a label in this boot.
fn subset(build: &Verified, policy: &Verified, labels: &LabelTable) -> Result<()> {
    let mut all = labels.clone();
    all.admit(&policy.tables.metadata.subjects)?;
    let before = all.slots(&build.tables.metadata.subjects);
    let after = all.slots(&policy.tables.metadata.subjects);
    let of = |slots: &Slots, label: u32| slots.slot.get(label as usize).and_then(|slot| slot.checked_sub(1));
    // Labels that somebody can have already. Without a subject it is denied everything; who came into quarantine by an earlier
    // tightening is by the build's policy what he was before.
    let pairs: Vec<(u32, u32)> = labels
        .entries()
        .filter_map(|(label, key)| {
            let outside = || key.strip_suffix(QUARANTINE).and_then(|key| of(&before, labels.label(key)?));
            Some((of(&before, label).or_else(outside).unwrap_or(SENTINEL), of(&after, label)?))
        })
        .collect();
    prove(&build.tables, &policy.tables, pairs).map_err(|wider| AgentError::Wider(Box::new(wider)))
}

/// The subject that is denied everything.
const SENTINEL: u32 = 2;

/// The build's policy that is in force, or that the one in force stands in for.
fn build(engine: &Engine, active: &Record) -> Result<Verified> {
    let trusted = Trusted::read(&engine.places)?;
    let (tables, signature) = (engine.places.baked_tables(), engine.places.baked_signature());
    let baked = Verified::read(&tables, &signature, &trusted).and_then(Verified::of_build);
    let kept = engine.store.last_good(&trusted).ok().flatten();
    let found = kept.into_iter().chain(baked).find(|policy| policy.digest == *active.build());
    found.ok_or_else(|| Lack::NoBuild.into())
}

/// What the agent kept of an earlier boot or load that may stand in for `build`. Why it may not is said, and it is forgotten:
/// the build's policy is enforced then.
pub fn kept(store: &Store, trusted: &Trusted, build: &Verified) -> Option<Verified> {
    let usable = |policy: Verified| {
        let Some(signed) = &policy.tightening else { return Ok(None) };
        if signed.base != build.digest || signed.serial != build.statement.serial {
            lines::notice(&format_args!(
                "the tightened policy was of serial {}; a newer one of the build is here",
                signed.serial
            ));
            return Ok(None);
        }
        in_time(signed, policy.seen.max(now()))?;
        subset(build, &policy, &LabelTable::default())?;
        Ok(Some(policy))
    };
    let found = store.tightened(trusted).and_then(|kept| kept.map_or(Ok(None), usable));
    match found {
        Ok(Some(policy)) => Some(policy),
        other => {
            if let Err(e) = other {
                lines::notice(&format_args!(
                    "the build's own policy is enforced, and the tightened one no longer: {e}"
                ));
            }
            if let Err(e) = store.forget_tightened() {
                lines::error(&e);
            }
            None
        }
    }
}

/// Goes back to the build's policy. Needs no signature but the build's own.
///
/// # Errors
/// If the build's policy is gone or cannot be enforced; the tightened one stays in force then.
pub fn end(engine: &mut Engine, why: &str) -> Result<Evidence> {
    let active = engine.records()?.active;
    let mut policy = build(engine, &active)?;
    // The POS can have assigned it meanwhile.
    policy.sequence = policy.sequence.max(active.sequence);
    // First: a boot that comes between loads the build's.
    let forgotten = engine.store.forget_tightened();
    let evidence = switch(engine, Accepted::at_boot(&policy), None)?;
    tell(&active, &format!("the policy of serial {} is the build's own again: {why}", active.serial));
    // A folder that cannot be written to keeps nothing in force.
    forgotten?;
    stay::confirm(engine)?;
    Ok(evidence)
}

/// The same, where the tightened policy has expired.
///
/// # Errors
/// As [`end`].
pub fn end_if_over(engine: &mut Engine) -> Result<Option<Evidence>> {
    match engine.records()?.active.tightened {
        Some(t) if left(&t, now(), now_ns()) == 0 => end(engine, "the tightened one has expired").map(Some),
        _ => Ok(None),
    }
}

/// Seconds that are left, by the wall clock and by the time since boot: whichever says less.
pub fn left(tightened: &Tightened, now: u64, now_ns: u64) -> u64 {
    let by_boot = tightened.deadline_ns.saturating_sub(now_ns).div_ceil(SECOND);
    tightened.expires.saturating_sub(now).min(by_boot)
}

/// The same at this moment.
pub fn left_now(tightened: &Tightened) -> u64 {
    left(tightened, now(), now_ns())
}

fn tell(active: &Record, message: &str) {
    lines::notice(&message);
    let (serial, name) = (active.serial.to_string(), active.name.as_str());
    journal::send(&[
        ("MESSAGE", message),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "kiln-agent"),
        ("KILN_POLICY", name),
        ("KILN_SERIAL", &serial),
    ]);
}

/// What the running agent has said of the tightened policy in force.
#[derive(Debug, Default)]
pub struct Watch {
    /// Which, and how many of `SOON` were said.
    said: Option<(u64, usize)>,
    noted_ns: u64,
    failed_ns: Option<u64>,
}

impl Watch {
    /// Says that a tightened policy ends soon, and ends it. To be called often.
    pub fn look(&mut self, engine: &mut Engine) {
        let Ok(records) = engine.records() else { return };
        let Some(tightened) = &records.active.tightened else { return };
        let now_ns = now_ns();
        let left = left_now(tightened);
        if left == 0 {
            if self.failed_ns.is_some_and(|at| now_ns < at.saturating_add(RETRY_EVERY)) {
                return;
            }
            self.failed_ns = None;
            if let Err(e) = end_if_over(engine) {
                self.failed_ns = Some(now_ns);
                lines::error(&format_args!("the tightened policy has expired: {e}"));
            }
            return;
        }
        let due = SOON.iter().filter(|soon| left <= **soon).count();
        let number = records.active.number();
        let before = self.said.filter(|(which, _)| *which == number).map_or(0, |(_, said)| said);
        if due > before {
            self.said = Some((number, due));
            tell(
                &records.active,
                &format!(
                    "the policy of serial {} is tightened until {} only; from then on the build's own is enforced again, which \
                     permits more",
                    records.active.serial,
                    text(tightened.expires as i64)
                ),
            );
        }
        if records.pending.is_none() && now_ns >= self.noted_ns.saturating_add(NOTE_EVERY) {
            self.noted_ns = now_ns;
            if let Err(e) = engine.store.see_tightened() {
                lines::error(&e);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_clock_says_less_counts() {
        let t =
            Tightened { number: 1, base: kiln_base::model::Digest::of(b""), expires: 1000, deadline_ns: 500 * SECOND };
        assert_eq!(left(&t, 900, 400 * SECOND), 100);
        assert_eq!(left(&t, 100, 490 * SECOND), 10, "the clock was set back");
        assert_eq!(left(&t, 995, 0), 5, "it was set forward");
        assert_eq!(left(&t, 1000, 0), 0);
        assert_eq!(left(&t, 0, 500 * SECOND), 0);
        assert_eq!(left(&t, 0, 500 * SECOND - 1), 1);
    }
}
