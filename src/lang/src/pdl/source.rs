//! Texts and where they come from.

use std::sync::Arc;

/// The largest text that is read, in bytes.
pub const MAX_FILE: usize = 16 << 20;

/// A named text. The name is what messages and origins show, and what relative imports start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// A path as the user gave it, or `std/base@1`.
    pub name: Arc<str>,
    /// The text.
    pub text: Arc<str>,
}

impl Source {
    /// A named text.
    pub fn new(name: &str, text: &str) -> Source {
        Source { name: name.into(), text: text.into() }
    }
}

/// Why an import could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// Gives the texts of imported files, so that the language itself reads no files. `std/…` never gets here.
pub trait Loader {
    /// The text of `import`, as written in the source named `from`. The name of the answer must be the same however
    /// the file is reached, because a file is read once.
    fn load(&self, from: &str, import: &str) -> Result<Source, LoadError>;
}

/// A loader that knows no files.
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _: &str, _: &str) -> Result<Source, LoadError> {
        Err(LoadError("files cannot be imported here".to_owned()))
    }
}
