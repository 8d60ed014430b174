//! Why a database cannot be opened.

use std::path::PathBuf;

/// A database that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite's word.
    #[error("the database failed: {0}")]
    Sql(#[from] rusqlite::Error),
    /// Written by a later program.
    #[error("the database has layout {found}, this program knows up to {known}; use the newer kiln-pos")]
    Newer {
        /// In the file.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file cannot be made, or there is no thread for it.
    #[error("the database cannot be opened: {0}")]
    Open(#[from] std::io::Error),
    /// The file is damaged.
    #[error("the database {} is damaged: {reason}; restore it from a backup", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// SQLite's words.
        reason: String,
    },
}
