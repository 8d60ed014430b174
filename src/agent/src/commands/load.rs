//! `kiln-agent load`: before anything that the policy confines.

use kiln_base::event::Evidence;

use crate::config::{Config, Places};
use crate::error::{AgentError, Result};
use crate::load::attach;
use crate::load::keep;
use crate::load::known;
use crate::load::maps::Maps;
use crate::machine::host;
use crate::machine::lines;
use crate::machine::lock::Lock;
use crate::unknown::OnUnknown;
use crate::update::calls;
use crate::update::choice::{Choice, choose};
use crate::update::engine::Engine;
use crate::update::stay;
use crate::update::store::{Accepted, Store, Verified};
use crate::update::switch::switch;
use crate::update::tighten;
use crate::update::trusted::Trusted;

/// What was done.
#[derive(Debug)]
pub struct Outcome {
    /// Proof of what is enforced now.
    pub evidence: Evidence,
    /// What to report beside it: a candidate that did not verify, a downgrade.
    pub problems: Vec<AgentError>,
    /// What this kernel has that this build does not know; the image permits to load all the same.
    pub unknown: Option<AgentError>,
}

/// The first policy of a boot: the build's, or what stands in for it.
fn first(engine: &mut Engine, policy: &Verified, tightened: Option<Verified>) -> Result<Evidence> {
    if let Some(tightened) = tightened {
        let evidence = switch(engine, Accepted::at_boot(&tightened), None);
        match evidence.and_then(|evidence| stay::confirm(engine).map(|()| evidence)) {
            Ok(evidence) => return Ok(evidence),
            // Nothing that the build did not sign keeps its own policy from being enforced.
            Err(e) => {
                lines::error(&format_args!("the tightened policy cannot be enforced, and the build's own is: {e}"))
            }
        }
    }
    switch(engine, Accepted::at_boot(policy), None)
}

/// Loads the newest valid policy. Where one is enforced already it stays so throughout: programs of another build are
/// exchanged one by one, and a newer policy comes in as a live update.
///
/// # Errors
/// If no policy verifies, or the kernel cannot enforce it.
pub fn load(places: Places) -> Result<Outcome> {
    let trusted = Trusted::read(&places)?;
    let store = Store::new(&places.state);
    // Damaged marks must not keep the image's policy from being enforced.
    let (marks, damaged) = match store.marks() {
        Ok(marks) => (marks, None),
        Err(e) => (Default::default(), Some(e)),
    };
    let baked =
        Verified::read(&places.baked_tables(), &places.baked_signature(), &trusted).and_then(Verified::of_build);
    // Of an image that gives units other filters of system calls, the last good policy is no longer one.
    let fits = |good: Option<Verified>| good.map(|g| calls::check(&places, &g).map(|()| g)).transpose();
    let good = store.last_good(&trusted).and_then(fits);
    let Choice { policy, problems, .. } = choose(baked, good, &marks)?;
    let mut problems: Vec<AgentError> = damaged.into_iter().chain(problems).collect();

    let lock = Lock::take(&places.run)?;
    let unknown = Some(known::unknown()?).filter(|u| !u.is_empty()).map(AgentError::UnknownKernel);
    let unknown = match (unknown, Config::read(&places.config())?.unknown_kernel) {
        (Some(unknown), OnUnknown::Refuse) => return Err(unknown),
        (unknown, _) => unknown,
    };
    let places = Places { pins: keep::find(&places), ..places };
    // What is in force is never removed for being unreadable.
    let active = match Maps::open(&places.pins) {
        Ok(maps) => maps.active(),
        Err(AgentError::NotLoaded) => None,
        Err(e) => return Err(e),
    };
    let (mut engine, fresh) = match active {
        Some(_) => {
            attach::upgrade(&places.pins, &places.run)?;
            (Engine::with_lock(places, lock)?, false)
        }
        None => (Engine::load_fresh(places, lock, &policy)?, true),
    };
    host::take(&engine.places.run, &trusted.host)?;
    engine.maps.set_agent(std::process::id())?;
    if !fresh {
        engine.settle()?;
    }
    let evidence = if fresh {
        first(&mut engine, &policy, tighten::kept(&store, &trusted, &policy))
    } else {
        let records = engine.records()?;
        if policy.statement.serial > records.active.serial {
            switch(&mut engine, Accepted::at_boot(&policy), None)
        } else {
            match tighten::end_if_over(&mut engine) {
                Ok(None) => stay::affirm(&mut engine),
                Ok(Some(evidence)) => Ok(evidence),
                Err(e) => Err(e),
            }
        }
    };
    // Fresh programs learn it only now that they are attached.
    let settled = if fresh && evidence.is_ok() { engine.settle() } else { Ok(()) };
    let released = engine.maps.set_agent(0);
    let evidence = evidence?;
    released?;
    settled?;
    if evidence.tables == policy.digest
        && let Err(e) = stay::confirm(&mut engine)
    {
        // Enforced all the same; only the next boot would not know it.
        problems.push(e);
    }
    Ok(Outcome { evidence, problems, unknown })
}
