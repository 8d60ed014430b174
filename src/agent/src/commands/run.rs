//! `kiln-agent run`: events out, updates in. The policy holds without it.

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bpf::pins::Pins;
use crate::commands::control::{self, Answer};
use crate::commands::handle;
use crate::config::Places;
use crate::error::{AgentError, Result, Step};
use crate::load::servers;
use crate::machine::clock::now_ns;
use crate::machine::lines;
use crate::machine::process::{notify, watched};
use crate::pos;
use crate::report::acts::{Act, Operation};
use crate::update::engine::Engine;
use crate::update::limits::Keep;
use crate::update::{audit, back, tighten, windows};

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
    // First: the programs refuse the socket of the agent that they know to who is confined.
    engine.maps.set_agent(std::process::id())?;
    let listener = control::listen(&engine.places.run)?;
    engine.settle()?;
    let (mut away, mut schedule, mut keep) = (false, windows::Watch::default(), Keep::default());
    let mut tightened = tighten::Watch::default();
    let mut told = servers::Told::default();
    notify("READY=1");
    watched();
    loop {
        let more = engine.drain() > 0;
        let timeout = if more { Timespec { tv_sec: 0, tv_nsec: 0 } } else { TICK };
        let ready = {
            // Without a POS its place is taken by the listener once more.
            let inbox = pos.as_ref().map_or(listener.as_fd(), |(inbox, _)| inbox.as_fd());
            let met = keep.watch.told().unwrap_or(listener.as_fd());
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
        if asked && let Some((stream, request, caller)) = control::accept(&listener) {
            let (answer, act) = handle::answer(&mut engine, request, &caller);
            act.iter().for_each(Act::tell);
            let answer = answer.unwrap_or_else(|e| {
                lines::error(&e);
                Answer::Failed { code: e.exit_code(), error: e.to_string() }
            });
            control::answer(stream, &answer);
            trim();
        }
        if let Some((inbox, spool)) = &pos {
            spool.set_lost(engine.maps.counters().map_or(0, |c| c.dropped));
            while let Some((ask, reply)) = inbox.next() {
                let _ = reply.send(handle::serve(&mut engine, ask).map_err(|e| e.to_string()));
                trim();
            }
        }
        dead_man(&mut engine);
        audit::watch(&engine).iter().for_each(Act::tell);
        tightened.look(&mut engine);
        if let Err(e) = engine.watch_responses() {
            lines::error(&e);
        }
        schedule.look(&engine);
        keep.look(&mut engine);
        if let Err(e) = told.look(&engine.places, &engine.maps) {
            lines::error(&e);
        }
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

/// Goes back if an update was not confirmed in time.
pub fn dead_man(engine: &mut Engine) {
    let Ok(records) = engine.records() else { return };
    if records.pending.is_none_or(|p| now_ns() < p.deadline_ns) {
        return;
    }
    let serial = records.active.serial;
    let act = Act::by_agent(Operation::Revert);
    match back::revert(engine) {
        Ok(evidence) => {
            let why =
                format!("serial {serial} was not confirmed in time; serial {} is in force again", evidence.serial);
            lines::notice(&why);
            act.serial(evidence.serial).because(&why).tell();
        }
        Err(e) => {
            lines::error(&e);
            act.failed(&e).tell();
        }
    }
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
