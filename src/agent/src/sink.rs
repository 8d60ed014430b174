//! What becomes of events: explained by the metadata of the tables that decided, and written as JSON lines.

use std::io::Write;

use kiln_base::abi::metadata::Metadata;
use kiln_base::event::{KernelEvent, RuleText, Violation};
use kiln_base::model::BlockKind;

/// Where lines go beside the journal.
pub trait Spool: Send {
    /// Keeps one violation for the POS.
    fn keep(&mut self, violation: &Violation);
}

/// Explains events.
#[derive(Debug, Default)]
pub struct Explainer {
    /// Newest last; a few, since events of the generation before may still come.
    generations: Vec<Known>,
    boot_unix_ns: i64,
}

#[derive(Debug)]
struct Known {
    serial: u64,
    blocks: Vec<(String, BlockKind)>,
    rules: Vec<(u32, String, Vec<String>)>,
}

impl Explainer {
    /// For a machine that booted at this time of the wall clock.
    pub fn new(boot_unix_ns: i64) -> Explainer {
        Explainer { generations: Vec::new(), boot_unix_ns }
    }

    /// Takes in a generation's rules.
    pub fn learn(&mut self, serial: u64, metadata: Metadata) {
        self.generations.retain(|g| g.serial != serial);
        if self.generations.len() > 2 {
            self.generations.remove(0);
        }
        let because =
            |rule: &kiln_base::abi::metadata::RuleInfo| rule.because.iter().map(ToString::to_string).collect();
        self.generations.push(Known {
            serial,
            rules: metadata.rules.iter().map(|r| (r.block, r.text.clone(), because(r))).collect(),
            blocks: metadata.blocks.into_iter().map(|b| (b.name, b.kind)).collect(),
        });
    }

    /// The violation of an event.
    pub fn explain(&self, seq: u64, event: &KernelEvent, subject: &str) -> Violation {
        let known = self.generations.iter().rev().find(|g| g.serial == event.generation);
        let rule = event.rule.and_then(|r| {
            let known = known?;
            let (block, text, because) = known.rules.get(r as usize)?;
            let (name, kind) = known.blocks.get(*block as usize)?;
            Some(RuleText { block: name, block_kind: *kind, text, because })
        });
        event.describe(seq, self.boot_unix_ns, subject, rule)
    }
}

/// Writes one JSON line; a closed or full standard output must not stop the agent.
pub fn print_line<T: serde::Serialize>(value: &T) {
    if let Ok(mut line) = serde_json::to_vec(value) {
        line.push(b'\n');
        let _ = std::io::stdout().lock().write_all(&line);
    }
}

/// Writes text and a line end; as [`print_line`], whoever reads may be gone.
pub fn print_text(text: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Nanoseconds of the wall clock at which the machine booted.
pub fn boot_unix_ns() -> i64 {
    let wall = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ns = |t: rustix::time::Timespec| t.tv_sec.saturating_mul(1_000_000_000).saturating_add(t.tv_nsec);
    ns(wall) - ns(boot)
}

/// Nanoseconds since boot.
pub fn now_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    (t.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(t.tv_nsec as u64)
}
