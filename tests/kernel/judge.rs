//! What counts. Of each run under the policy: 0 the bypass worked; 1 denied by the expected errno *and* reported by the
//! expected event; 2 it could not be attempted; 3 denied by something else. Only 1 is a pass. In audit mode the
//! attack must work and be reported as what would be denied. What is permitted must work without a report.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kiln::event::{Verdict, Violation};
use libtest_mimic::Completion;

use crate::case::{Case, Mode};
use crate::guest::{Boot, Run, State};
use crate::matrix::Variant;

/// The four answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Bypassed = 0,
    Denied = 1,
    Unattempted = 2,
    Otherwise = 3,
}

/// How errors end by which a sandbox refuses: read-only, hidden, or not permitted.
const OF_SANDBOX: [&str; 7] = ["EROFS", "ENOENT", "EACCES", "EPERM", "EXDEV", "EBUSY", "ENODEV"];

/// Passes the case, or says run by run what was wrong. An attack that the sandbox refuses by itself, without a policy,
/// tells nothing about the policy there; nor does one on Kiln itself, whose baseline is another attack, that ends with an
/// error of the sandbox before Kiln is asked.
pub fn judge(case: &Case, boot: &Boot, variant: Variant) -> Result<Completion, String> {
    let (mut wrong, mut bypassed) = (String::new(), false);
    let mut refused: BTreeMap<&String, String> = BTreeMap::new();
    for user in &case.users {
        let run = boot.run(&case.name, "base", user);
        let other = case.baseline.as_ref().and(boot.run(&case.name, Mode::Enforce.name(), user));
        let other = other.filter(|run| run.token != case.errno);
        if let Some(run) = [run, other].into_iter().flatten().find(|run| variant.sandbox && is_refused_by_sandbox(run))
        {
            refused.insert(user, format!("as {user}, the sandbox refuses it: {}", told(Some(run))));
        } else if run.is_none_or(|run| run.state != State::Worked) {
            let _ = writeln!(wrong, "without the policy, as {user}: the attack must work, but {}", told(run));
        }
    }
    if refused.len() == case.users.len() {
        return Ok(Completion::ignored_with(refused.into_values().collect::<Vec<_>>().join("; ")));
    }
    if let Err(error) = &boot.policy {
        let _ = writeln!(wrong, "the policy was not loaded: {error}");
        return Err(wrong);
    }
    for (phase, mode, user) in case.confined().into_iter().filter(|(_, _, user)| !refused.contains_key(user)) {
        let run = boot.run(&case.name, &phase, &user);
        let block = case.block(&phase, &user);
        let events: Vec<&Violation> = boot.events.iter().filter(|event| concerns(event, &block)).collect();
        let (answer, why) = if phase.starts_with("control") {
            permitted(run, &events)
        } else if mode == Mode::Enforce {
            enforced(case, run, &events, variant)
        } else {
            audited(case, run, &events, variant)
        };
        if answer != Answer::Denied {
            bypassed |= answer == Answer::Bypassed;
            let _ = writeln!(wrong, "{phase}, as {user}: {} ({answer:?}): {why}", answer as u8);
            for event in events {
                let _ =
                    writeln!(wrong, "    reported: {} {} {} ({})", event.verdict, event.verb, event.object, event.rule);
            }
        }
    }
    match &case.open {
        Some(hole) if bypassed => Ok(Completion::ignored_with(format!("open: {hole}"))),
        Some(_) if wrong.is_empty() => Err("it is closed: take the line `open` out of the case".to_owned()),
        _ if wrong.is_empty() => Ok(Completion::Completed),
        _ => Err(wrong),
    }
}

fn is_refused_by_sandbox(run: &Run) -> bool {
    match run.state {
        State::Refused => OF_SANDBOX.contains(&run.token.as_str()),
        State::Unattempted => OF_SANDBOX.iter().any(|error| run.text.ends_with(&format!("(errno {error})"))),
        State::Worked | State::Killed => false,
    }
}

/// Whether the block decided, or Kiln itself about a task of the block.
fn concerns(event: &Violation, block: &str) -> bool {
    event.profile == block || (event.profile == "kiln" && event.subject.split(['|', ',']).any(|name| name == block))
}

fn told(run: Option<&Run>) -> String {
    run.map_or_else(
        || "the guest told nothing of it".to_owned(),
        |run| format!("{:?} {} {}", run.state, run.token, run.text),
    )
}

fn is_expected(case: &Case, event: &Violation, verdict: Verdict, variant: Variant) -> bool {
    let object = variant.object(&event.object);
    event.verdict == verdict
        && event.verb == case.event.verb
        && case.event.object.as_ref().is_none_or(|expected| *expected == object)
        && case.event.object_contains.as_ref().is_none_or(|part| object.contains(part.as_str()))
}

fn enforced(case: &Case, run: Option<&Run>, events: &[&Violation], variant: Variant) -> (Answer, String) {
    let Some(run) = run else { return (Answer::Unattempted, told(run)) };
    let reported = events.iter().any(|event| is_expected(case, event, Verdict::Denied, variant));
    match run.state {
        State::Worked => (Answer::Bypassed, "the attack worked".to_owned()),
        State::Unattempted => (Answer::Unattempted, told(Some(run))),
        State::Refused | State::Killed if run.token != case.errno => {
            (Answer::Otherwise, format!("expected {}, but {}", case.errno, told(Some(run))))
        }
        State::Refused | State::Killed if !reported => {
            (Answer::Otherwise, "refused, but not reported as expected".to_owned())
        }
        State::Refused | State::Killed => (Answer::Denied, String::new()),
    }
}

fn audited(case: &Case, run: Option<&Run>, events: &[&Violation], variant: Variant) -> (Answer, String) {
    let Some(run) = run else { return (Answer::Unattempted, told(run)) };
    let reported = events.iter().any(|event| is_expected(case, event, Verdict::WouldDeny, variant));
    match run.state {
        State::Unattempted => (Answer::Unattempted, told(Some(run))),
        State::Refused | State::Killed => {
            (Answer::Otherwise, format!("audit mode must not refuse, but {}", told(Some(run))))
        }
        State::Worked if !reported => {
            (Answer::Bypassed, "the attack worked and was not reported as expected".to_owned())
        }
        State::Worked => (Answer::Denied, String::new()),
    }
}

/// `Answer::Denied` stands for "as it must be" here too.
fn permitted(run: Option<&Run>, events: &[&Violation]) -> (Answer, String) {
    if run.is_none_or(|run| run.state != State::Worked) {
        return (Answer::Otherwise, format!("what is permitted must work, but {}", told(run)));
    }
    if events.iter().any(|event| event.verdict == Verdict::Denied || event.verdict == Verdict::WouldDeny) {
        return (Answer::Otherwise, "what is permitted was reported".to_owned());
    }
    (Answer::Denied, String::new())
}
