//! The enforcement plan as the reference previews it. Its commands are text for people: nothing executes them.

use std::collections::HashMap;

use super::model::{Judged, Outcome};
use crate::engine::python::{path_join, path_name, shell_quote, strip};
use crate::engine::{Action, Arena, PlanOptions};

/// When each process was last planned for.
#[derive(Debug, Default)]
pub struct Cooldown {
    last: HashMap<Box<[u8]>, f64>,
}

impl Cooldown {
    /// Whether the key's plan is suppressed at time `now` (seconds); if not, remembers it. The memory holds as many
    /// keys as the gate's own, and drops those whose time is over when it is full.
    pub fn hit(&mut self, key: &[u8], now: f64, cooldown: f64) -> bool {
        if cooldown <= 0.0 || cooldown.is_nan() {
            return false;
        }
        if let Some(last) = self.last.get_mut(key) {
            if now - *last < cooldown {
                return true;
            }
            *last = now;
            return false;
        }
        if self.last.len() >= super::memory::REFERENCE_ENTRIES {
            self.last.retain(|_, last| now - *last < cooldown);
        }
        self.last.insert(key.into(), now);
        false
    }
}

/// The previewed commands, each one line.
pub(super) fn commands(judged: &Judged, outcome: &Outcome, plan: &PlanOptions, arena: &Arena) -> Vec<Vec<u8>> {
    let pid = arena.get(judged.pid);
    match outcome.action {
        Action::Allow => Vec::new(),
        Action::Throttle => vec![command(&[b"renice", b"+10", b"-p", pid])],
        Action::Kill => vec![command(&[b"kill", b"-KILL", pid])],
        Action::Quarantine | Action::Honeypot => {
            let directory = plan.quarantine_dir.as_bytes();
            let mut lines = vec![command(&[b"kill", b"-STOP", pid]), command(&[b"mkdir", b"-p", directory])];
            let target = strip(arena.get(judged.target));
            if target.starts_with(b"/") && memchr::memmem::find(target, b"->").is_none() {
                let name = [arena.get(judged.process_name), b"-", pid, b"-", path_name(target)].concat();
                lines.push(command(&[b"cp", b"--", target, &path_join(directory, &name)]));
                lines.push(command(&[b"chmod", b"000", target]));
            }
            lines
        }
    }
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut line = Vec::new();
    for (i, word) in words.iter().enumerate() {
        if i > 0 {
            line.push(b' ');
        }
        shell_quote(word, &mut line);
    }
    line
}
