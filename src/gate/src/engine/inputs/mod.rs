//! Lines of the known sources as normalised events.

mod falco;
mod functions;
mod kiln;
mod schema;
mod tetragon;
mod time;

use std::borrow::Cow;

use kiln_base::model::{Vocabulary, Word};
pub use time::parse_time;

use super::event::{Event, PolicyWord, Source, Text};
use super::json::{self, Habits, JsonError, Kind, Token, decode_string};
use schema::{All, S, SLOTS};

/// Why a line is not an event.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It is not JSON.
    #[error("{0}")]
    Json(String),
    /// It is JSON, but no object.
    #[error("line must be a JSON object")]
    NotObject,
    /// It is an object of none of the known sources.
    #[error("not a Falco, Tetragon or Kiln event: none of their keys is there")]
    Unknown,
    /// It is what a source says of itself, in words: no process did anything, and nothing is wrong.
    #[error("{0}")]
    Notice(&'static str),
    /// It is an event of another source than the one asked for.
    #[error("not a {} event", .0.as_str())]
    Other(Source),
}

/// A line's tokens.
pub(crate) struct Line<'a> {
    bytes: &'a [u8],
    slots: &'a [Token; SLOTS],
}

impl<'a> Line<'a> {
    fn at(&self, slot: S) -> Token {
        self.slots.get(slot as usize).copied().unwrap_or_default()
    }

    fn has(&self, slot: S) -> bool {
        self.at(slot).is_set()
    }

    /// A string's value, a number's digits; anything else is nothing.
    fn token_text(&self, token: Token) -> Text<'a> {
        match token.kind {
            Kind::Plain => Cow::Borrowed(token.inner(self.bytes)),
            Kind::Escaped => {
                let mut out = Vec::new();
                decode_string(token.inner(self.bytes), &mut out);
                Cow::Owned(out)
            }
            Kind::Int | Kind::Float => Cow::Borrowed(token.raw(self.bytes)),
            _ => Cow::Borrowed(b""),
        }
    }

    fn text(&self, slot: S) -> Text<'a> {
        match self.token_text(self.at(slot)) {
            // Falco's word for "not available".
            text if *text == *b"<NA>" => Cow::Borrowed(b""),
            text => text,
        }
    }

    /// A word of the policy's, where there is one.
    fn word<T: Vocabulary>(&self, slot: S) -> Option<PolicyWord<'a, T>> {
        Some(self.text(slot)).filter(|text| !text.is_empty()).map(Word::of)
    }

    /// The first slot that holds something.
    fn first(&self, slots: &[S]) -> Text<'a> {
        slots.iter().map(|slot| self.text(*slot)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn number(&self, slot: S) -> Option<u64> {
        let token = self.at(slot);
        match token.kind {
            Kind::Int | Kind::Plain => std::str::from_utf8(&self.token_text(token)).ok()?.trim().parse().ok(),
            _ => None,
        }
    }

    fn flag(&self, slot: S) -> Option<bool> {
        let token = self.at(slot);
        match token.kind {
            Kind::True => Some(true),
            Kind::False => Some(false),
            Kind::Plain | Kind::Int => match &*self.token_text(token) {
                b"1" | b"true" | b"yes" => Some(true),
                b"0" | b"false" | b"no" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The strings of an array.
    fn list(&self, slot: S) -> Vec<Text<'a>> {
        let token = self.at(slot);
        if token.kind != Kind::Array {
            return Vec::new();
        }
        let mut items = Vec::new();
        let (mut rest, mut offset) = (token.raw(self.bytes), token.start);
        // Strings of an array that has been scanned; more than 64 tags say no more than 64 do.
        while let (Some(open), true) = (memchr::memchr(b'"', rest), items.len() < 64) {
            let mut close = open + 1;
            while rest.get(close).is_some_and(|b| *b != b'"') {
                close += if rest[close] == b'\\' { 2 } else { 1 };
            }
            let end = (close + 1).min(rest.len());
            let kind =
                if json::is_plain(rest.get(open + 1..close).unwrap_or(&[])) { Kind::Plain } else { Kind::Escaped };
            items.push(self.token_text(Token { start: offset + open as u32, end: offset + end as u32, kind }));
            offset += end as u32;
            rest = &rest[end..];
        }
        items
    }
}

/// A thread's working space.
#[derive(Debug)]
pub struct Space {
    slots: [Token; SLOTS],
    habits: Habits,
}

impl Default for Space {
    fn default() -> Space {
        Space { slots: [Token::default(); SLOTS], habits: Habits::default() }
    }
}

/// Translates one line. `wanted` names the source, if the content is not to decide.
///
/// # Errors
/// The line is not an event of the source.
pub fn parse<'a>(line: &'a str, space: &'a mut Space, wanted: Option<Source>) -> Result<Event<'a>, InputError> {
    let Space { slots, habits } = space;
    *slots = [Token::default(); SLOTS];
    let token = json::scan(line, &All, slots, habits).map_err(|e: JsonError| InputError::Json(e.message(line)))?;
    if token.kind != Kind::Object {
        return Err(InputError::NotObject);
    }
    let line = Line { bytes: line.as_bytes(), slots };
    let object = |slot| line.at(slot).kind == Kind::Object;
    let found = if line.at(S::SCHEMA).kind == Kind::Plain && line.text(S::SCHEMA).starts_with(b"kiln.") {
        Source::Kiln
    } else if object(S::BODY) || (object(S::INFO) || object(S::BODY_OTHER)) && !line.has(S::RULE) {
        Source::Tetragon
    } else if [S::FIELDS, S::RULE, S::EVT_TYPE_TOP, S::PROCESS_NAME_TOP, S::OUTPUT].iter().any(|s| line.has(*s)) {
        Source::Falco
    } else {
        return Err(wanted.map_or(InputError::Unknown, InputError::Other));
    };
    if let Some(wanted) = wanted
        && wanted != found
    {
        return Err(InputError::Other(wanted));
    }
    let notice = match found {
        Source::Falco => falco::notice(&line),
        Source::Tetragon => tetragon::notice(&line),
        Source::Kiln => None,
    };
    if let Some(notice) = notice {
        return Err(InputError::Notice(notice));
    }
    Ok(match found {
        Source::Falco => falco::event(&line),
        Source::Tetragon => tetragon::event(&line),
        Source::Kiln => kiln::event(&line),
    })
}

/// The last component of a path.
fn base_name(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..])
}

/// The same of an owned or borrowed text.
fn base_text<'a>(path: &Text<'a>) -> Text<'a> {
    match path {
        Cow::Borrowed(path) => Cow::Borrowed(base_name(path)),
        Cow::Owned(path) => Cow::Owned(base_name(path).to_vec()),
    }
}
