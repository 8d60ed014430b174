//! What a reader of one program's configuration owes.

use crate::manifest::declared::Declared;
use crate::manifest::fact::Note;
use crate::manifest::facts::Command;
use crate::manifest::root::Root;

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
