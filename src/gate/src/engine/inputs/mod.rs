//! Lines of the known sources as normalised events.

mod falco;
mod functions;
mod kiln;
mod line;
mod schema;
mod tetragon;
mod time;

pub use time::parse_time;

use super::event::{Event, Source};
use super::json::{self, Habits, JsonError, Kind, Token};
use line::Line;
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
