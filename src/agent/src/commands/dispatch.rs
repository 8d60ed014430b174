//! What each command does, and its exit code.

use std::io::Write as _;
use std::process::ExitCode;

use kiln_base::abi::tables::MAX_FILE;
use kiln_base::bundle::MAX_ENVELOPE;
use kiln_base::event::Evidence;

use crate::bpf;
use crate::commands::args::{self, Args, Command};
use crate::commands::control::{self, Answer, Blob, Request};
use crate::commands::{completions, explain, handle, load, ps, run, show, status};
use crate::config::Places;
use crate::error::{AgentError, Holder, Refusal, Result};
use crate::load::keep;
use crate::load::known;
use crate::machine::caller::Caller;
use crate::machine::journal;
use crate::machine::lines;
use crate::report::acts::Act;
use crate::update::engine::Engine;
use crate::update::store::Verified;
use crate::update::trusted::Trusted;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    bpf::object::quiet();
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(args) => args,
        Err(e) => return fail(&e),
    };
    match dispatch(args, Places::default()) {
        Ok(code) => ExitCode::from(code),
        Err(e) => fail(&e),
    }
}

fn fail(error: &AgentError) -> ExitCode {
    complain(error);
    ExitCode::from(error.exit_code())
}

fn dispatch(args: Args, places: Places) -> Result<u8> {
    let json = args.json;
    match args.command {
        Command::Help => lines::print_text(&args::USAGE.trim_end()),
        Command::Version => lines::print_text(&concat!("kiln-agent ", env!("CARGO_PKG_VERSION"))),
        Command::Keep => keep::be_keeper(),
        Command::Load => return load_command(places),
        Command::Run => run::run(places)?,
        Command::Status => {
            let status = status::status(&places)?;
            lines::print(&status, json);
            return Ok(u8::from(!status.enforced));
        }
        Command::Verify => verify(&places, json)?,
        Command::Kernel => return kernel_command(json),
        Command::Unload => unload(places)?,
        Command::Update { tables, signature, assignment, confirm_within } => {
            let assignment = assignment.map(|path| Blob::read(&path, MAX_ENVELOPE)).transpose()?;
            let (tables, signature) = (Blob::read(&tables, MAX_FILE)?, Blob::read(&signature, MAX_ENVELOPE)?);
            return perform(places, Request::Update { tables, signature, assignment, confirm_within }, json);
        }
        Command::Confirm => return perform(places, Request::Confirm, json),
        Command::Release(who) => return perform(places, Request::Release { who }, json),
        Command::Revert => return perform(places, Request::Revert, json),
        Command::Audit { unit, seconds } => return perform(places, Request::Audit { unit, seconds }, json),
        Command::Show(unit) => lines::print(&show::show(&places, unit.as_deref())?, json),
        Command::Ps => lines::print(&ps::ps(&places)?, json),
        Command::Explain(event) => lines::print(&explain::explain(&places, &event)?, json),
        Command::Completions(shell) => lines::print_text(&completions::script(shell)),
    }
    Ok(0)
}

/// One line on standard error. Who does not listen misses it.
fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "kiln-agent: {text}");
}

/// Loads, and prints the evidence as one JSON line. Problems beside it end with the code of the first.
fn load_command(places: Places) -> Result<u8> {
    let run = places.run.clone();
    match keep::restore(&places) {
        keep::Place::There => {}
        keep::Place::PutBack => complain("the pins were not in their place, and are again"),
        keep::Place::Away => {
            complain("the pins are not in their place and cannot be put back; the policy stays in force");
        }
    }
    let outcome = match load::load(places) {
        // Where an agent runs, a policy is in force; it proves so itself.
        Err(AgentError::Busy(holder)) => match control::ask(&run, &mut Request::Affirm)? {
            Some(answer) => return finish(answer, true),
            None => return Err(AgentError::Busy(holder)),
        },
        other => other?,
    };
    print_evidence(&outcome.evidence, true);
    for problem in outcome.unknown.iter().chain(&outcome.problems) {
        complain(problem);
    }
    Ok(outcome.problems.first().map_or(0, AgentError::exit_code))
}

/// Says what the kernel has that this build does not know; 1 if there is any.
fn kernel_command(json: bool) -> Result<u8> {
    let unknown = known::unknown()?;
    if json {
        lines::print_line(&serde_json::json!({"schema": "kiln.kernel.v1", "unknown": unknown}));
    } else if unknown.is_empty() {
        lines::print_text(&"this build knows every hook, system call and io_uring operation of this kernel");
    } else {
        lines::print_text(&format_args!("this build does not know {unknown}"));
    }
    Ok(u8::from(!unknown.is_empty()))
}

/// Asks the running agent, or does it here if there is none.
fn perform(places: Places, mut request: Request, json: bool) -> Result<u8> {
    if let Some(answer) = control::ask(&places.run, &mut request)? {
        return finish(answer, json);
    }
    let mut engine = Engine::open(places)?;
    engine.maps.set_agent(std::process::id())?;
    let (result, act) = handle::answer(&mut engine, request, &Caller::own());
    act.iter().for_each(Act::record);
    engine.maps.set_agent(0)?;
    finish(result?, json)
}

fn finish(answer: Answer, json: bool) -> Result<u8> {
    match answer {
        Answer::Done(evidence) => {
            if let Some(evidence) = evidence {
                print_evidence(&evidence, json);
            }
            Ok(0)
        }
        Answer::Audited(audit) => {
            if json {
                lines::print_line(&serde_json::json!({"schema": "kiln.audit.v1", "audit": audit}));
            } else {
                lines::print_text(&format_args!("audit      {audit}"));
            }
            Ok(0)
        }
        Answer::Failed { code, error } => {
            complain(error);
            Ok(code)
        }
    }
}

fn print_evidence(evidence: &Evidence, json: bool) {
    if json {
        lines::print_line(&serde_json::json!({"schema": "kiln.evidence.v1", "evidence": evidence}));
    } else {
        lines::print_text(&format_args!(
            "enforcing serial {} ({}); {} programs, sentinel {} refused",
            evidence.serial,
            evidence.tables,
            evidence.programs.len(),
            evidence.sentinel.pid
        ));
    }
}

fn verify(places: &Places, json: bool) -> Result<()> {
    let trusted = Trusted::read(places)?;
    let policy = Verified::read(&places.baked_tables(), &places.baked_signature(), &trusted)?.of_build()?;
    let object = kiln_base::model::Digest::of(bpf::object::bytes());
    let s = &policy.statement;
    if json {
        lines::print_line(&serde_json::json!({"schema": "kiln.verify.v1", "statement": s, "object": object}));
    } else {
        lines::print_text(&format_args!(
            "{} serial {}: signature and digests hold ({})\nobject {object}",
            s.name, s.serial, s.tables
        ));
    }
    Ok(())
}

/// The way out. The kernel programs refuse it to every labelled task; here it is only told clearly.
fn unload(places: Places) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Refusal::NotRoot.into());
    }
    let engine = Engine::open(places).map_err(|e| match e {
        AgentError::Busy(holder) => AgentError::Busy(Holder { in_the_way: true, ..holder }),
        other => other,
    })?;
    let uid = rustix::process::getuid().as_raw().to_string();
    let (serial, name) = engine.records().map_or((0, String::new()), |r| (r.active.serial, r.active.name));
    // Before and after: a record that enforcement is about to end cannot be prevented by its end.
    let serial_text = serial.to_string();
    let record = |message: &str| {
        journal::send(&[
            ("MESSAGE", message),
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "kiln-agent"),
            ("KILN_OPERATION", "unload"),
            ("KILN_BY", "operator"),
            ("KILN_UID", &uid),
            ("KILN_POLICY", &name),
            ("KILN_SERIAL", &serial_text),
        ]);
        complain(message);
    };
    record(&format!("user {uid} ends the enforcement of {name} serial {serial}"));
    engine.unload()?;
    record("enforcement has ended; `kiln-agent load` begins it again");
    Ok(())
}
