//! Readers of programs' own configuration: what a program listens on, connects to, reads, writes and runs.
//!
//! A reader is one folder here and one line in [`READERS`]; derivation knows only what it gives ([`Declared`]).
//! `docs/extending.md` says which files a new one touches.

pub mod nginx;
pub mod redis;

use super::declared::Declared;
use super::facts::Command;
use super::root::Root;
use super::{Note, Origin};

/// Every reader. The first that knows a command reads it.
pub const READERS: &[&dyn Reader] = &[&nginx::Nginx, &redis::Redis];

/// Reads the configuration of one program, or of a family of programs with the same configuration.
pub trait Reader: Sync {
    /// What the program is called.
    fn name(&self) -> &'static str;

    /// Whether this command starts the program. Asked of each command of `ExecStart=`, wrappers taken off.
    fn knows(&self, command: &Command) -> bool;

    /// What the configuration declares that this command makes the program use. What the reader does not understand
    /// costs that fact, with a note; `None` (and a note) says that only the running machine knows which configuration
    /// is used.
    ///
    /// # Errors
    /// If the program would refuse its configuration, or if a file cannot be read.
    fn read(&self, root: &Root, command: &Command, notes: &mut Vec<Note>) -> Result<Option<Declared>, ReadError>;
}

/// The reader of a command, where there is one.
pub fn of(command: &Command) -> Option<&'static dyn Reader> {
    READERS.iter().copied().find(|r| r.knows(command))
}

/// Why a configuration cannot be read: the reader's own error, which says where it is and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadError(Box<dyn std::error::Error + Send + Sync>);

impl ReadError {
    /// A reader's own error.
    pub fn of(error: impl std::error::Error + Send + Sync + 'static) -> ReadError {
        ReadError(Box::new(error))
    }
}

/// Says of a program without a reader what follows from that.
pub(super) fn unread(origin: &Origin) -> Note {
    let why = "kiln reads no configuration of this program: what it listens on and connects to is known only as far as \
               the unit says; begin with `--mode audit`";
    Note::new(origin.clone(), why)
}
