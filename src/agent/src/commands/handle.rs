//! What is asked of the agent, carried out: by an operator over the socket or in the command's own process, by the POS. What
//! became of it is told in the journal.

use kiln_base::event::Evidence;

use crate::commands::control::{Answer, Request};
use crate::error::{Refusal, Result};
use crate::machine::caller::Caller;
use crate::machine::files::read_optional;
use crate::pos;
use crate::report::acts::{Act, Operation};
use crate::update::engine::Engine;
use crate::update::trusted::Trusted;
use crate::update::{audit, back, release, stay, take, tighten};

/// Carries out a request of an operator, with what is to be told of it; nothing is of what only looks.
pub fn answer(engine: &mut Engine, request: Request, caller: &Caller) -> (Result<Answer>, Option<Act>) {
    let act = about(&request).map(|(operation, who)| {
        let act = Act::by_operator(operation, caller);
        who.map_or(act.clone(), |who| act.of_unit(&who))
    });
    let result = audit::free(engine, caller).and_then(|()| handle(engine, request, caller));
    let act = act.map(|act| match &result {
        Ok(Answer::Audited(audit)) if act.operation == Operation::Audit => act.serial(audit.serial).until(&audit.until),
        Ok(_) => with_serial(act, engine),
        Err(e) => with_serial(act, engine).failed(e),
    });
    (result, act)
}

fn with_serial(act: Act, engine: &Engine) -> Act {
    let serial = engine.records().map(|records| records.active.serial);
    serial.map_or(act.clone(), |serial| act.serial(serial))
}

/// What a request does, and about whom.
fn about(request: &Request) -> Option<(Operation, Option<String>)> {
    Some(match request {
        Request::Update { .. } => (Operation::Update, None),
        Request::Confirm => (Operation::Confirm, None),
        Request::Revert => (Operation::Revert, None),
        Request::Affirm => return None,
        Request::Release { who } => (Operation::Release, Some(who.clone())),
        Request::Audit { unit, seconds: Some(_) } => (Operation::Audit, Some(unit.clone())),
        Request::Audit { unit, seconds: None } => (Operation::AuditEnd, Some(unit.clone())),
    })
}

fn handle(engine: &mut Engine, request: Request, caller: &Caller) -> Result<Answer> {
    match request {
        Request::Update { tables, signature, assignment, confirm_within } => {
            let trusted = Trusted::read(&engine.places)?;
            let instance = instance(engine);
            let assignment = assignment.as_ref().map(|blob| &*blob.bytes);
            let policy =
                take::verify(&trusted, &tables.name, tables.bytes, signature.bytes, assignment, instance.as_deref())?;
            take::apply(engine, &policy, confirm_within).map(|evidence| Answer::Done(Some(evidence)))
        }
        Request::Confirm => stay::confirm(engine).map(|()| Answer::Done(None)),
        Request::Revert => {
            let records = engine.records()?;
            let evidence = match (records.pending, records.active.tightened) {
                (None, None) => return Err(Refusal::Confirmed.into()),
                (None, Some(_)) => tighten::end(engine, "an operator reverts it"),
                (Some(_), _) => back::revert(engine),
            };
            evidence.map(|evidence| Answer::Done(Some(evidence)))
        }
        Request::Affirm => stay::affirm(engine).map(|evidence| Answer::Done(Some(evidence))),
        Request::Release { who } => release::release(engine, &who).map(|()| Answer::Done(None)),
        Request::Audit { unit, seconds: Some(seconds) } => {
            audit::begin(engine, &unit, seconds, caller).map(Answer::Audited)
        }
        Request::Audit { unit, seconds: None } => audit::end(engine, &unit).map(|_| Answer::Done(None)),
    }
}

/// Answers the POS's threads.
///
/// # Errors
/// Of what was asked; the agent goes on.
pub fn serve(engine: &mut Engine, ask: pos::Ask) -> Result<Option<(Evidence, u64)>> {
    match ask {
        pos::Ask::Apply(policy) => {
            let within = engine.config.confirm_seconds;
            let result = take::apply(engine, &policy, Some(within));
            told(Operation::Update, engine, &result);
            result.map(|evidence| Some((evidence, policy.sequence)))
        }
        pos::Ask::Confirm(serial) => {
            let records = engine.records()?;
            if records.active.serial != serial {
                let active = records.active.serial;
                return Err(Refusal::NotInForce { active, asked: serial }.into());
            }
            // The POS knows nothing of a tightening: who tried it out confirms it.
            if records.pending.is_some() && records.active.tightened.is_none() {
                let result = stay::confirm(engine);
                told(Operation::Confirm, engine, &result);
                result?;
            }
            Ok(None)
        }
        pos::Ask::Prove => {
            let evidence = stay::affirm(engine)?;
            Ok(Some((evidence, engine.records()?.active.sequence)))
        }
    }
}

fn told<T>(operation: Operation, engine: &Engine, result: &Result<T>) {
    let act = with_serial(Act::by_pos(operation), engine);
    match result {
        Ok(_) => act.tell(),
        Err(e) => act.failed(e).tell(),
    }
}

/// The instance's id, once the machine is enrolled.
fn instance(engine: &Engine) -> Option<String> {
    let bytes = read_optional(&engine.store.path("instance"), 256).ok()??;
    Some(String::from_utf8(bytes).ok()?.trim().to_owned())
}
