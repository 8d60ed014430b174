//! The engine: bytes in, verdicts out, no I/O.
//!
//! A line is judged in three steps, so that two cores can share the work: `read` looks at one line alone, `settle`
//! takes the verdicts in order and keeps the memory, `render` writes one verdict.

pub mod event;
pub mod graded;
pub mod inputs;
pub mod json;
mod pretty;
pub mod profile;
pub mod python;
pub mod scbe;
pub mod verdict;

pub use pretty::write_pretty;
pub use profile::{Applied, Failed, PlanOptions, Profile, Request};
pub use verdict::{Action, Decision, State};

/// A piece of an [`Arena`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// The text of a batch of verdicts: one buffer, so that an event costs no allocation.
#[derive(Debug, Default)]
pub struct Arena {
    /// The bytes; WTF-8.
    pub bytes: Vec<u8>,
}

impl Arena {
    /// Where the next byte will stand.
    pub fn mark(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// What was written since `mark`.
    pub fn since(&self, mark: u32) -> Span {
        Span { start: mark, end: self.bytes.len() as u32 }
    }

    /// Keeps a copy.
    pub fn keep(&mut self, bytes: &[u8]) -> Span {
        let mark = self.mark();
        self.bytes.extend_from_slice(bytes);
        self.since(mark)
    }

    /// Appends a copy of what is there already.
    #[inline(always)]
    pub fn again(&mut self, span: Span) {
        let chunk = self.bytes.get(span.start as usize..).and_then(|rest| rest.first_chunk::<SHORT>()).copied();
        let length = (span.end - span.start) as usize;
        match chunk {
            Some(chunk) if length <= SHORT => push_short(&chunk, length, &mut self.bytes),
            _ => self.bytes.extend_from_within(span.start as usize..span.end as usize),
        }
    }

    /// Appends a span to other bytes.
    #[inline(always)]
    pub fn append(&self, span: Span, out: &mut Vec<u8>) {
        append(&self.bytes, span.start as usize, span.end as usize, out);
    }

    /// The bytes of a span.
    pub fn get(&self, span: Span) -> &[u8] {
        self.bytes.get(span.start as usize..span.end as usize).unwrap_or(&[])
    }
}

/// Most texts are not longer than this.
const SHORT: usize = 32;

/// Copies a whole chunk and cuts it: cheaper than a copy whose length is not known beforehand.
#[inline(always)]
fn push_short(chunk: &[u8; SHORT], length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(chunk);
    out.truncate(start + length);
}

/// Appends `from[start..end]`, of which `end` is not before `start` nor beyond the end.
#[inline(always)]
fn append(from: &[u8], start: usize, end: usize, out: &mut Vec<u8>) {
    let length = end.saturating_sub(start);
    match from.get(start..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) if length <= SHORT => push_short(chunk, length, out),
        _ => out.extend_from_slice(from.get(start..end).unwrap_or(&[])),
    }
}

/// The report of a line that could not be judged: the message, and the first 2000 characters.
pub fn fail(message: &str, line: &str, arena: &mut Arena) -> Failed {
    report("error", message, line, arena)
}

/// The same of a line with which nothing is wrong.
pub fn notice(message: &str, line: &str, arena: &mut Arena) -> Failed {
    Failed { notice: true, ..report("notice", message, line, arena) }
}

fn report(kind: &str, message: &str, line: &str, arena: &mut Arena) -> Failed {
    let mark = arena.mark();
    let out = &mut arena.bytes;
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\": ");
    json::write_ascii_escaped(message.as_bytes(), out);
    out.extend_from_slice(b", \"raw\": ");
    let end = line.char_indices().nth(2000).map_or(line.len(), |(at, _)| at);
    json::write_ascii_escaped(&line.as_bytes()[..end], out);
    out.push(b'}');
    Failed { notice: false, report: arena.since(mark) }
}

#[cfg(test)]
mod tests;
