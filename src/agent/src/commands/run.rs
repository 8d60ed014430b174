//! `kiln-agent run`: events out, updates in. The policy holds without it.

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use kiln_base::event::Evidence;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bpf::pins::Pins;
use crate::commands::control::{self, Answer, Request};
use crate::config::Places;
use crate::error::{AgentError, Refusal, Result, Step};
use crate::limit::watch::Watch;
use crate::machine::clock::now_ns;
use crate::machine::files::read_optional;
use crate::machine::lines;
use crate::machine::process::{notify, watched};
use crate::pos;
use crate::update::engine::Engine;
use crate::update::trusted::Trusted;
use crate::update::{back, release, stay, take, windows};

/// Longest sleep: the deadline of an update is looked at this often.
const TICK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// If nothing is loaded or another agent runs; later failures are reported and survived.
pub fn run(places: Places) -> Result<()> {
    let signals = signals()?;
    let mut engine = Engine::open(places)?;
    engine.records()?;
    // A POS that cannot be used is reported; events still go to the journal.
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let pos = match pos::start(&engine.places, &engine.config, credentials.as_deref()) {
        Ok(pos) => pos,
        Err(e) => {
            lines::error(&e);
            None
        }
    };
    if let Some((_, spool)) = &pos {
        engine.events.set_spool(Box::new(spool.clone()));
    }
    let listener = control::listen(&engine.places.run)?;
    engine.maps.set_agent(std::process::id())?;
    engine.settle()?;
    let (mut away, mut schedule, mut watch) = (false, windows::Watch::default(), Watch::default());
    notify("READY=1");
    watched();
    loop {
        let more = engine.drain() > 0;
        let timeout = if more { Timespec { tv_sec: 0, tv_nsec: 0 } } else { TICK };
        let ready = {
            // Without a POS its place is taken by the listener once more.
            let inbox = pos.as_ref().map_or(listener.as_fd(), |(inbox, _)| inbox.as_fd());
            let met = watch.told().unwrap_or(listener.as_fd());
            let mut fds = [
                PollFd::new(engine.events.ring(), PollFlags::IN),
                PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(inbox, PollFlags::IN),
                PollFd::from_borrowed_fd(met, PollFlags::IN),
            ];
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(AgentError::kernel(Step::WaitForEvents, e.into())),
            }
            fds.map(|fd| !fd.revents().is_empty())
        };
        let [_, asked, ended, ..] = ready;
        if ended {
            break;
        }
        if asked && let Some((stream, request)) = control::accept(&listener) {
            let answer = match handle(&mut engine, request) {
                Ok(evidence) => Answer::Done(evidence),
                Err(e) => {
                    lines::error(&e);
                    Answer::Failed { code: e.exit_code(), error: e.to_string() }
                }
            };
            control::answer(stream, &answer);
            trim();
        }
        if let Some((inbox, spool)) = &pos {
            spool.set_lost(engine.maps.counters().map_or(0, |c| c.dropped));
            while let Some((ask, reply)) = inbox.next() {
                let _ = reply.send(serve(&mut engine, ask).map_err(|e| e.to_string()));
                trim();
            }
        }
        dead_man(&mut engine);
        if let Err(e) = engine.watch_responses() {
            lines::error(&e);
        }
        schedule.look(&engine);
        limits(&engine, &mut watch);
        // What is enforced stays so; it is said once.
        let was = std::mem::replace(&mut away, !engine.in_place());
        if away && !was {
            lines::notice(&format_args!(
                "the pins are not at {} any more: something was unmounted or mounted there; the policy stays in force; \
                 `kiln-agent load` puts them back",
                Pins::DEFAULT
            ));
        }
    }
    notify("STOPPING=1");
    engine.maps.set_agent(0)
}

/// Carries out a request.
///
/// # Errors
/// Of the request; the agent goes on.
pub fn handle(engine: &mut Engine, request: Request) -> Result<Option<Evidence>> {
    match request {
        Request::Update { tables, signature, assignment, confirm_within } => {
            let trusted = Trusted::read(&engine.places)?;
            let instance = instance(engine);
            let policy = take::read(&trusted, &tables, &signature, assignment.as_deref(), instance.as_deref())?;
            take::apply(engine, &policy, confirm_within).map(Some)
        }
        Request::Confirm => stay::confirm(engine).map(|()| None),
        Request::Revert => {
            if engine.records()?.pending.is_none() {
                return Err(Refusal::Confirmed.into());
            }
            back::revert(engine).map(Some)
        }
        Request::Affirm => stay::affirm(engine).map(Some),
        Request::Release { who } => release::release(engine, &who).map(|()| None),
    }
}

/// Answers the POS's threads.
fn serve(engine: &mut Engine, ask: pos::Ask) -> Result<Option<(Evidence, u64)>> {
    match ask {
        pos::Ask::Apply(policy) => {
            let within = engine.config.confirm_seconds;
            take::apply(engine, &policy, Some(within)).map(|evidence| Some((evidence, policy.sequence)))
        }
        pos::Ask::Confirm(serial) => {
            let records = engine.records()?;
            if records.active.serial != serial {
                let active = records.active.serial;
                return Err(Refusal::NotInForce { active, asked: serial }.into());
            }
            if records.pending.is_some() {
                stay::confirm(engine)?;
            }
            Ok(None)
        }
        pos::Ask::Prove => {
            let evidence = stay::affirm(engine)?;
            Ok(Some((evidence, engine.records()?.active.sequence)))
        }
    }
}

/// The instance's id, once the machine is enrolled.
fn instance(engine: &Engine) -> Option<String> {
    let bytes = read_optional(&engine.store.path("instance"), 256).ok()??;
    Some(String::from_utf8(bytes).ok()?.trim().to_owned())
}

/// Goes back if an update was not confirmed in time.
pub fn dead_man(engine: &mut Engine) {
    let Ok(records) = engine.records() else { return };
    if records.pending.is_none_or(|p| now_ns() < p.deadline_ns) {
        return;
    }
    let serial = records.active.serial;
    match back::revert(engine) {
        Ok(evidence) => lines::notice(&format_args!(
            "serial {serial} was not confirmed in time; serial {} is in force again",
            evidence.serial
        )),
        Err(e) => lines::error(&e),
    }
}

/// Looks whether a limit was met.
fn limits(engine: &Engine, watch: &mut Watch) {
    let Ok(records) = engine.records() else { return };
    if !watch.watches(&records.active.tables) {
        match engine.keeper.tables(&records.active) {
            Ok(tables) => watch.begin(records.active.tables, records.active.serial, &tables),
            Err(e) => return lines::error(&e),
        }
    }
    watch.look(&engine.places, &engine.maps);
}

/// An update needs some MiB for moments; they are given back, so that the idle agent stays small.
fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's malloc_trim(3) may be called at any time by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// SIGTERM and SIGINT as a descriptor.
fn signals() -> Result<OwnedFd> {
    let fail = || AgentError::kernel(Step::WaitForSignals, std::io::Error::last_os_error());
    // SAFETY: the set is initialised by sigemptyset before use, and outlives the calls.
    let fd = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(fail());
        }
        libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if fd < 0 {
        return Err(fail());
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
