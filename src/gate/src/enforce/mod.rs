//! Carries requests out: guardrails first, then each backend in order. No shell, no command line, ever.
//!
//! ```text
//! Request ──► guardrails (may it?) ──► process (is it still that one?) ──► systemd · cgroup · journald · soc
//!                                                    └──► quarantine: evidence and what undoes it
//! ```

mod cgroup;
mod done;
mod guardrails;
mod journald;
mod network;
mod process;
mod quarantine;
mod soc;
mod systemd;
mod undo;

use std::path::PathBuf;
use std::time::Duration;

pub use guardrails::{Guardrails, Limits};
pub use journald::Journal;
pub use process::{Process, ProcessError};
pub use quarantine::{QuarantineError, Record, Released, release};
pub use soc::{Soc, SocError, SocSettings};
pub use systemd::{Systemd, SystemdError};
pub use undo::Undo;

use crate::engine::{Action, Applied, Request};
use crate::run::Enforcer;
use cgroup::Cgroup;
use done::Done;

/// The backends by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendName {
    /// systemd over D-Bus.
    Systemd,
    /// The journal, native protocol.
    Journald,
    /// A security operations centre, HTTP.
    Soc,
    /// Control groups, where there is no systemd.
    Cgroup,
}

impl BackendName {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            BackendName::Systemd => "systemd",
            BackendName::Journald => "journald",
            BackendName::Soc => "soc",
            BackendName::Cgroup => "cgroup",
        }
    }

    /// Reads a comma-separated list. Nothing stands for the default, as in the reference.
    ///
    /// # Errors
    /// The names that are not known.
    pub fn parse_list(text: &str) -> Result<Vec<BackendName>, String> {
        let (mut names, mut unknown) = (Vec::new(), Vec::new());
        for word in text.split(',').map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty()) {
            match word.as_str() {
                "systemd" => names.push(BackendName::Systemd),
                "journald" => names.push(BackendName::Journald),
                "soc" => names.push(BackendName::Soc),
                "cgroup" => names.push(BackendName::Cgroup),
                _ => unknown.push(word),
            }
        }
        match (names.is_empty(), unknown.is_empty()) {
            (_, false) => Err(unknown.join(", ")),
            (true, true) => Ok(vec![BackendName::Systemd, BackendName::Journald]),
            (false, true) => Ok(names),
        }
    }
}

/// How to enforce.
#[derive(Debug)]
pub struct Settings {
    /// The backends, in order.
    pub backends: Vec<BackendName>,
    /// Where evidence and records go.
    pub quarantine_dir: PathBuf,
    /// What limits the gate.
    pub limits: Limits,
    /// The SOC's sink.
    pub soc: Option<SocSettings>,
    /// Names by which this host appears in events.
    pub host_names: Vec<String>,
}

enum Backend {
    Systemd(Box<Systemd>),
    Journald(Journal),
    Soc(Soc),
    SocMissing,
    Cgroup(Cgroup),
    /// Could not be set up; each use fails with this.
    Broken(&'static str, String),
}

/// Carries requests out on this machine.
pub struct Enforcement {
    backends: Vec<Backend>,
    guardrails: Guardrails,
    quarantine_dir: PathBuf,
    host_names: Vec<String>,
}

impl Enforcement {
    /// Connects the backends. One that cannot be connected fails at each use, and says why: the others still work.
    pub fn new(settings: Settings) -> Enforcement {
        let backends = settings
            .backends
            .iter()
            .map(|name| match name {
                BackendName::Systemd => match Systemd::connect() {
                    Ok(systemd) => Backend::Systemd(Box::new(systemd)),
                    Err(error) => Backend::Broken("systemd", error.to_string()),
                },
                BackendName::Journald => match Journal::connect() {
                    Ok(journal) => Backend::Journald(journal),
                    Err(error) => Backend::Broken("journald", error.to_string()),
                },
                BackendName::Soc => match settings.soc.clone().map(Soc::start) {
                    Some(Ok(soc)) => Backend::Soc(soc),
                    Some(Err(error)) => Backend::Broken("soc", error.to_string()),
                    None => Backend::SocMissing,
                },
                BackendName::Cgroup => Backend::Cgroup(Cgroup),
            })
            .collect();
        Enforcement {
            backends,
            guardrails: Guardrails::new(settings.limits),
            quarantine_dir: settings.quarantine_dir,
            host_names: settings.host_names,
        }
    }

    /// Waits for what is on its way to the SOC, at most so long. What is not sent stays in the spool.
    pub fn finish(&mut self, patience: Duration) {
        for backend in &mut self.backends {
            if let Backend::Soc(soc) = backend {
                soc.finish(patience);
            }
        }
    }

    /// The process, if the gate may act on it: on this host, still the same one, and not protected.
    fn target(&mut self, request: &Request) -> Result<Process, String> {
        if !self.host_names.iter().any(|name| name == &request.host) {
            return Err(format!("the event comes from host {:?}, which is not this one", request.host));
        }
        if request.pid == 0 {
            return Err("invalid pid 0: the event names no process; have the source add it".to_owned());
        }
        let process = Process::open(request.pid).map_err(|e| e.to_string())?;
        process.is_the_one(request).map_err(|e| e.to_string())?;
        self.guardrails.may_act(&process)?;
        Ok(process)
    }
}

impl Enforcer for Enforcement {
    fn handle(&mut self, request: &Request) -> Applied {
        let mut applied = Applied::default();
        if request.kernel_action == Action::Allow {
            return applied;
        }
        // Telling others needs no process: it happens even where acting is refused.
        let forceful = self.backends.iter().any(|b| matches!(b, Backend::Systemd(_) | Backend::Cgroup(_)));
        let target = if forceful { Some(self.target(request)) } else { None };
        if let Some(Err(reason)) = &target {
            applied.failures.push(format!("refused to {}: {reason}", request.kernel_action.as_str()));
        }
        let process = target.and_then(Result::ok);
        let contain = matches!(request.kernel_action, Action::Quarantine | Action::Honeypot | Action::Kill);
        let mut record = Record::new(request, process.as_ref());
        let mut forced = false;
        for backend in &mut self.backends {
            let done = match (backend, &process) {
                (Backend::Systemd(systemd), Some(process)) => {
                    forced = true;
                    systemd.act(request.kernel_action, process)
                }
                (Backend::Cgroup(cgroup), Some(process)) => {
                    forced = true;
                    cgroup.act(request.kernel_action, process)
                }
                (Backend::Systemd(_) | Backend::Cgroup(_), None) => continue,
                (Backend::Journald(journal), _) => journal.send(request),
                (Backend::Soc(soc), _) => soc.send(request),
                (Backend::SocMissing, _) => Done::default().detail("soc endpoint not configured"),
                (Backend::Broken(name, reason), _) => Done::failed(format!("{name}: {reason}")),
            };
            applied.applied |= done.applied;
            applied.failures.extend(done.failures);
            applied.details.extend(done.details);
            record.undo.extend(done.undo);
        }
        if let (true, Some(process)) = (forced, &process) {
            // A frozen process keeps still while it is copied; a killed one is gone, so its evidence is what is left.
            if contain {
                match record.preserve(&self.quarantine_dir, process, request) {
                    Ok(detail) => applied.details.push(detail),
                    Err(error) => applied.failures.push(error.to_string()),
                }
            }
            if let Err(error) = record.save(&self.quarantine_dir) {
                applied.failures.push(error.to_string());
            }
        }
        applied
    }
}
