//! Integrity, suspicion, decision; then, with the memory, cell state and action.

use super::map::Event;
use super::memory::Memory;
use super::threat::{self, Scanner};
use crate::engine::json::write_ascii_escaped;
use crate::engine::python::round4;
use crate::engine::{Action, Arena, Decision, Span, State};

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
    /// Whether host, name, operation and target are printable ASCII without quotes and backslashes.
    pub plain: bool,
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
    // Names are short: preparing a search costs more than looking everywhere.
    match text.len() {
        0..64 => text.windows(word.len()).any(|part| part == word.as_bytes()),
        _ => memchr::memmem::find(text, word.as_bytes()).is_some(),
    }
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
        arena.again(part);
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
        plain: event.plain,
        notes,
    }
}

/// `exp(-ln 2 / 12)`: the share of the antibody load that outlives one event.
const DECAY: f64 = 0.943_874_312_681_693_5;

impl Judged {
    /// Takes the event into the memory.
    pub fn settle(&self, arena: &Arena, memory: &mut Memory) -> Outcome {
        let step = |before: f64| clamp01(DECAY * clamp01(before) + (1.0 - DECAY) * self.suspicion);
        let (before, now) = memory.change(arena.get(self.key), step);
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
        let count = |name: &str, count: u32, out: &mut Vec<u8>| {
            if count > 0 {
                out.extend_from_slice(name.as_bytes());
                write_count(count, out);
                out.extend_from_slice(b"\",");
            }
        };
        out.push(b'[');
        count("\"prompt-injection signatures=", self.prompt.into(), out);
        count("\"malware signatures=", self.malware.into(), out);
        count("\"external-links=", self.links, out);
        if self.prompt == 0 && self.malware == 0 && self.links == 0 {
            out.extend_from_slice(b"\"clean profile\",");
        }
        if self.unknown_operation {
            out.extend_from_slice(b"\"unknown operation: ");
            let start = out.len();
            write_ascii_escaped(operation, out);
            out.remove(start);
            out.push(b',');
        }
        let notes: [(bool, &[u8]); 3] = [
            (self.untrusted, b"\"unsigned or untrusted signer\","),
            (self.no_hash, b"\"missing sha256\","),
            (self.odd_hash, b"\"invalid sha256 length\","),
        ];
        for (_, note) in notes.iter().filter(|(holds, _)| *holds) {
            out.extend_from_slice(note);
        }
        for (_, pattern) in threat::SENSITIVE.iter().enumerate().filter(|(i, _)| self.targets >> i & 1 == 1) {
            out.extend_from_slice(b"\"sensitive target match: ");
            let start = out.len();
            write_ascii_escaped(pattern.as_bytes(), out);
            out.remove(start);
            out.push(b',');
        }
        for (_, (parent, child)) in PAIRS.iter().enumerate().filter(|(i, _)| self.pairs >> i & 1 == 1) {
            out.extend_from_slice(b"\"suspicious parent-child: ");
            out.extend_from_slice(parent.as_bytes());
            out.extend_from_slice(b"->");
            out.extend_from_slice(child.as_bytes());
            out.extend_from_slice(b"\",");
        }
        out.extend_from_slice(b"\"immune cell state=");
        out.extend_from_slice(outcome.state.as_str().as_bytes());
        out.extend_from_slice(match outcome.action {
            Action::Allow => b"\",\"kernel path clear\"]",
            _ => b"\",\"enemy friction elevated at kernel gate\"]".as_slice(),
        });
    }
}

/// Appends a number in decimal.
fn write_count(number: u32, out: &mut Vec<u8>) {
    if number >= 10 {
        write_count(number / 10, out);
    }
    out.push(b'0' + (number % 10) as u8);
}
