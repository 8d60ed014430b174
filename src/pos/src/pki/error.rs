//! Why the POS has no keys or certificates.

use std::io;
use std::path::PathBuf;

use kiln_base::bundle::{AsideError, KeyError};

/// Keys or certificates that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or a folder made.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] AsideError),
    /// The assignment key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate or key does not parse.
    #[error("{} is not what it should be: {reason}; restore it from a backup", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// The parser's words.
        reason: String,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// `--name` is neither a host name nor an address.
    #[error("`{name}` cannot stand in a certificate: {reason}; give a DNS name or an IP address")]
    Name {
        /// The text.
        name: String,
        /// Why.
        reason: String,
    },
}
