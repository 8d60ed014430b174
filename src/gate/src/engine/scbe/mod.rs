//! Profile `scbe`: the behaviour of the public SCBE kernel gate, line for line, independently written.
//!
//! Kept for those who come from it and for comparison; `docs/gate.md` names its defects. Use profile `default`.

mod fields;
mod map;
mod memory;
mod model;
mod options;
mod preview;
mod render;
mod threat;

pub use memory::Memory;
pub use model::{Judged, Notes, Outcome};
pub use options::Options;

use super::json::{self, Kind, Token};
use super::{Action, Applied, Arena, Failed, Profile, Request, fail, write_pretty};
use fields::{Falco, SLOTS};

/// Reads lines. One per thread: it keeps its working space.
#[derive(Debug)]
pub struct Reader {
    slots: [Token; SLOTS],
    habits: json::Habits,
    scanner: threat::Scanner,
    scratch: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            slots: [Token::default(); SLOTS],
            habits: json::Habits::default(),
            scanner: threat::Scanner::new(),
            scratch: Vec::new(),
        }
    }
}

impl Reader {
    fn read(&mut self, line: &str, options: &Options, arena: &mut Arena) -> Result<Judged, Failed> {
        self.slots = [Token::default(); SLOTS];
        match json::scan(line, &Falco, &mut self.slots, &mut self.habits) {
            Ok(Token { kind: Kind::Object, .. }) => {}
            Ok(_) => return Err(fail("falco line must be a JSON object", line, arena)),
            Err(error) => return Err(fail(&error.message(line), line, arena)),
        }
        let event = map::map(line.as_bytes(), &self.slots, options, arena, &mut self.scratch);
        Ok(model::judge(event, &self.scanner, arena, &mut self.scratch))
    }
}

/// The profile.
#[derive(Debug)]
pub struct Scbe {
    /// What to print.
    pub options: Options,
}

/// One event on its way.
#[derive(Debug)]
pub struct Item {
    judged: Judged,
    outcome: Outcome,
    suppressed: bool,
    applied: Option<Box<Applied>>,
}

/// Antibody loads and cooldowns.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Antibody loads.
    pub loads: Memory,
    cooldown: preview::Cooldown,
}

impl Profile for Scbe {
    type Reader = Reader;
    type Item = Item;
    type Memory = Remembered;

    fn reader(&self) -> Reader {
        Reader::default()
    }

    fn read(&self, reader: &mut Reader, line: &str, arena: &mut Arena) -> Result<Item, Failed> {
        let judged = reader.read(line, &self.options, arena)?;
        Ok(Item { judged, outcome: Outcome::UNSETTLED, suppressed: false, applied: None })
    }

    fn settle(&self, item: &mut Item, arena: &Arena, memory: &mut Remembered, now: i64) {
        item.outcome = item.judged.settle(arena, &mut memory.loads);
        if let Some(plan) = &self.options.enforcement
            && item.outcome.action != Action::Allow
        {
            item.suppressed = memory.cooldown.hit(arena.get(item.judged.key), now as f64 / 1e9, plan.cooldown);
        }
    }

    fn action(&self, item: &Item) -> Action {
        item.outcome.action
    }

    fn acts(&self, item: &Item) -> bool {
        item.outcome.action != Action::Allow && !item.suppressed
    }

    fn render(&self, item: &Item, arena: &Arena, out: &mut Vec<u8>) {
        let start = out.len();
        render::render(
            &item.judged,
            &item.outcome,
            item.suppressed,
            item.applied.as_deref(),
            &self.options,
            arena,
            out,
        );
        if self.options.pretty {
            let compact = out.split_off(start);
            write_pretty(&compact, out);
        }
    }

    fn request(&self, item: &Item, arena: &Arena) -> Request {
        let text = |span| String::from_utf8_lossy(arena.get(span)).into_owned();
        let (judged, outcome) = (&item.judged, &item.outcome);
        Request {
            process_key: text(judged.key),
            kernel_action: outcome.action,
            host: text(judged.host),
            pid: text(judged.pid).parse().unwrap_or(0),
            start_time_ns: None,
            process_name: text(judged.process_name),
            operation: text(judged.operation),
            target: text(judged.target),
            rationale: format!("enforcement mapped from kernel_action={}", outcome.action.as_str()),
            quarantine_dir: self.options.enforcement.as_ref().map(|e| e.quarantine_dir.clone()).unwrap_or_default(),
            metadata: super::profile::Metadata {
                decision: judged.decision,
                cell_state: outcome.state,
                suspicion: super::python::round4(judged.suspicion),
                block_execution: outcome.block,
                isolate_process: outcome.isolate,
                quarantine_target: outcome.quarantine_target,
            },
        }
    }

    fn applied(&self, item: &mut Item, applied: Applied) {
        item.applied = Some(Box::new(applied));
    }
}
