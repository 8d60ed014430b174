//! Readers of programs' own configuration: what a program listens on, connects to, reads, writes and runs.
//!
//! A reader is one folder here and one line in [`READERS`]; derivation knows only what it gives ([`Declared`](super::Declared)).
//! `docs/extending.md` says which files a new one touches.

pub mod nginx;
mod reader;
pub mod redis;

pub use reader::{ReadError, Reader};

use super::facts::Command;
use super::{Note, Origin};

/// Every reader. The first that knows a command reads it.
pub const READERS: &[&dyn Reader] = &[&nginx::Nginx, &redis::Redis];

/// The reader of a command, where there is one.
pub fn of(command: &Command) -> Option<&'static dyn Reader> {
    READERS.iter().copied().find(|r| r.knows(command))
}

/// Says of a program without a reader what follows from that.
pub(super) fn unread(origin: &Origin) -> Note {
    let why = "kiln reads no configuration of this program: what it listens on and connects to is known only as far as \
               the unit says; begin with `--mode audit`";
    Note::new(origin.clone(), why)
}
