//! Integrity, suspicion, decision; then, with the memory, cell state and action.

use super::map::Event;
use super::memory::Memory;
use super::threat::{self, Scanner};
use crate::gate::engine::json::write_ascii_escaped;
use crate::gate::engine::python::{round4, write_round4};
use crate::gate::engine::{Action, Arena, Decision, Span, State};

/// Parent and child that together look like a dropped payload.
const PAIRS: [(&str, &str); 5] = [
    ("winword.exe", "powershell"),
    ("excel.exe", "powershell"),
    ("outlook.exe", "powershell"),
    ("wscript.exe", "cmd.exe"),
    ("python", "bash"),
];

/// What the notes say, to be written when the state is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notes {
    prompt: u8,
    malware: u8,
    links: u32,
    unknown_operation: bool,
    untrusted: bool,
    no_hash: bool,
    odd_hash: bool,
    targets: u8,
    pairs: u8,
}

/// One event, judged without the memory.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    /// `host:pid:process_name`.
    pub key: Span,
    /// The host.
    pub host: Span,
    /// The process id, canonical decimal.
    pub pid: Span,
    /// The process's name.
    pub process_name: Span,
    /// The operation.
    pub operation: Span,
    /// The target.
    pub target: Span,
    /// The normalised event as JSON, or nothing.
    pub event: Span,
    /// Suspicion, unrounded, in [0, 1].
    pub suspicion: f64,
    /// Membrane stress, unrounded, in [0, 1].
    pub stress: f64,
    /// The decision.
    pub decision: Decision,
    /// The reasons.
    pub notes: Notes,
}

/// What the memory adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Antibody load before.
    pub before: f64,
    /// Antibody load after.
    pub now: f64,
    /// Cell state.
    pub state: State,
    /// Kernel action.
    pub action: Action,
    /// Whether the process is not to go on.
    pub block: bool,
    /// Whether it is cut off.
    pub isolate: bool,
    /// Whether its target is put aside.
    pub quarantine_target: bool,
}

impl Outcome {
    /// Before the memory was asked.
    pub const UNSETTLED: Outcome = Outcome {
        before: 0.0,
        now: 0.0,
        state: State::Healthy,
        action: Action::Allow,
        block: false,
        isolate: false,
        quarantine_target: false,
    };
}

fn clamp01(x: f64) -> f64 {
    // NaN ends as 0: the reference's comparison keeps its first operand.
    if x > 0.0 { x.min(1.0) } else { 0.0 }
}

fn operation_risk(operation: &[u8]) -> Option<f64> {
    Some(match operation {
        b"exec" | b"write" => 0.12,
        b"open" => 0.02,
        b"delete" => 0.14,
        b"rename" | b"network_connect" => 0.08,
        b"dns_query" => 0.04,
        b"module_load" => 0.30,
        b"process_inject" => 0.38,
        b"registry_write" => 0.16,
        _ => return None,
    })
}

fn contains(text: &[u8], word: &str) -> bool {
    memchr::memmem::find(text, word.as_bytes()).is_some()
}

pub(super) fn judge(event: Event, scanner: &Scanner, arena: &mut Arena, scratch: &mut Vec<u8>) -> Judged {
    let threat = scanner.scan(arena.get(event.text), scratch);
    let mut notes = Notes { prompt: threat.prompt, malware: threat.malware, links: threat.links, ..Notes::default() };

    let mut integrity = operation_risk(arena.get(event.operation)).unwrap_or_else(|| {
        notes.unknown_operation = true;
        0.10
    });
    if !event.signer_trusted {
        integrity += 0.22;
        notes.untrusted = true;
    }
    match event.sha256 {
        None => {
            integrity += 0.16;
            notes.no_hash = true;
        }
        Some(hash) if arena.get(hash).iter().filter(|b| (**b as i8) >= -0x40).count() != 64 => {
            integrity += 0.12;
            notes.odd_hash = true;
        }
        Some(_) => {}
    }
    notes.targets = threat::sensitive(arena.get(event.target), scratch);
    // Summed on its own before it is added: the order matters to the last bit.
    let targets = (0..notes.targets.count_ones()).fold(0.0, |sum, _| sum + 0.18);
    integrity += clamp01(targets);
    let (parent, child) = (arena.get(event.parent), arena.get(event.process_name));
    if !parent.is_empty() {
        for (i, (p, c)) in PAIRS.iter().enumerate() {
            if contains(parent, p) && contains(child, c) {
                integrity += 0.20;
                notes.pairs |= 1 << i;
            }
        }
    }
    let integrity = clamp01(integrity);

    let risk = (0.25 * f64::from(threat.prompt)).min(0.60)
        + (0.20 * f64::from(threat.malware)).min(0.70)
        + (0.015 * f64::from(threat.links)).min(0.20);
    let risk = round4(risk.min(1.0));
    let observed = clamp01(event.geometry);
    let suspicion = clamp01(0.50 * risk + 0.35 * integrity + 0.15 * observed);
    let norm = clamp01(observed.max(0.20 + 0.75 * suspicion));
    let decision = match suspicion {
        s if s >= 0.85 => Decision::Deny,
        s if s >= 0.60 => Decision::Escalate,
        s if s >= 0.30 => Decision::Quarantine,
        _ => Decision::Allow,
    };
    let mark = arena.mark();
    for (i, part) in [event.host, event.pid, event.process_name].into_iter().enumerate() {
        if i > 0 {
            arena.bytes.push(b':');
        }
        arena.bytes.extend_from_within(part.start as usize..part.end as usize);
    }
    Judged {
        key: arena.since(mark),
        host: event.host,
        pid: event.pid,
        process_name: event.process_name,
        operation: event.operation,
        target: event.target,
        event: event.json,
        suspicion,
        stress: clamp01((norm - 0.98) / (1.0 - 0.98)),
        decision,
        notes,
    }
}

/// `exp(-ln 2 / 12)`: the share of the antibody load that outlives one event.
const DECAY: f64 = 0.943_874_312_681_693_5;

impl Judged {
    /// Takes the event into the memory.
    pub fn settle(&self, arena: &Arena, memory: &mut Memory) -> Outcome {
        let key = arena.get(self.key);
        let before = memory.load(key);
        let now = clamp01(DECAY * clamp01(before) + (1.0 - DECAY) * self.suspicion);
        memory.store(key, now);
        let state = match now.max(self.stress).max(self.suspicion) {
            s if s >= 0.90 => State::Necrotic,
            s if s >= 0.70 => State::Inflamed,
            s if s >= 0.35 => State::Primed,
            _ => State::Healthy,
        };
        let denied = self.decision != Decision::Allow;
        let (action, contain) = match state {
            State::Necrotic => (Action::Honeypot, true),
            _ if denied && (self.stress >= 0.9 || now >= 0.85) => (Action::Honeypot, true),
            _ if denied => (Action::Quarantine, true),
            State::Inflamed => (Action::Throttle, false),
            _ => (Action::Allow, false),
        };
        Outcome { before, now, state, action, block: contain, isolate: contain, quarantine_target: contain }
    }
}

impl Notes {
    /// Appends the notes as a JSON array.
    pub(super) fn write(&self, operation: &[u8], outcome: &Outcome, out: &mut Vec<u8>) {
        use std::io::Write;
        out.push(b'[');
        let mut first = true;
        let mut note = |out: &mut Vec<u8>, args: std::fmt::Arguments<'_>| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.push(b'"');
            match args.as_str() {
                Some(text) => out.extend_from_slice(text.as_bytes()),
                // Writing to a vector cannot fail.
                None => drop(out.write_fmt(args)),
            }
            out.push(b'"');
        };
        if self.prompt > 0 {
            note(out, format_args!("prompt-injection signatures={}", self.prompt));
        }
        if self.malware > 0 {
            note(out, format_args!("malware signatures={}", self.malware));
        }
        if self.links > 0 {
            note(out, format_args!("external-links={}", self.links));
        }
        if self.prompt == 0 && self.malware == 0 && self.links == 0 {
            note(out, format_args!("clean profile"));
        }
        if self.unknown_operation {
            let mut quoted = Vec::new();
            write_ascii_escaped(operation, &mut quoted);
            let inner = String::from_utf8_lossy(quoted.get(1..quoted.len() - 1).unwrap_or(&[]));
            note(out, format_args!("unknown operation: {inner}"));
        }
        if self.untrusted {
            note(out, format_args!("unsigned or untrusted signer"));
        }
        if self.no_hash {
            note(out, format_args!("missing sha256"));
        }
        if self.odd_hash {
            note(out, format_args!("invalid sha256 length"));
        }
        for (_, pattern) in threat::SENSITIVE.iter().enumerate().filter(|(i, _)| self.targets >> i & 1 == 1) {
            note(out, format_args!("sensitive target match: {}", pattern.replace('\\', "\\\\")));
        }
        for (_, (parent, child)) in PAIRS.iter().enumerate().filter(|(i, _)| self.pairs >> i & 1 == 1) {
            note(out, format_args!("suspicious parent-child: {parent}->{child}"));
        }
        note(out, format_args!("immune cell state={}", outcome.state.as_str()));
        match outcome.action {
            Action::Allow => note(out, format_args!("kernel path clear")),
            _ => note(out, format_args!("enemy friction elevated at kernel gate")),
        }
        out.push(b']');
    }
}

/// Appends a number of [0, 1] rounded to four decimals.
pub(super) fn write_rounded(number: f64, out: &mut Vec<u8>) {
    write_round4(round4(number), out);
}
