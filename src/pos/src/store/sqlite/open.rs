//! Opening the file: its checks, its layout, its threads.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kiln_base::bundle::SigningKey;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::broadcast;

use super::error::OpenError;
use super::worker::Worker;
use super::{Sqlite, migrate, tables};

/// Databases up to this many bytes are checked at each start.
const CHECKED_WHOLE: u64 = 256 << 20;
/// Statements that are kept prepared.
const STATEMENTS: usize = 64;
/// Changes that wait for a watcher.
const CHANGES: usize = 1024;

/// The threads of a store; joined at shutdown so that the write-ahead log is folded in.
#[derive(Debug)]
pub struct Threads(Vec<std::thread::JoinHandle<()>>);

impl Threads {
    /// Waits until both threads have ended, which they do when the last handle of the [`Sqlite`] is dropped.
    pub fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a database thread ended by a panic");
            }
        }
    }
}

impl Sqlite {
    /// Opens or creates the database, checks it and brings its layout up to date. The key signs assignments.
    ///
    /// # Errors
    /// Where the file cannot be opened, is damaged, or is of a later program.
    pub fn open(path: &Path, key: Arc<SigningKey>) -> Result<(Sqlite, Threads), OpenError> {
        // With the write-ahead log, NORMAL may lose the last commits at power loss (sqlite.org/pragma.html#pragma_synchronous).
        open(path, key, "FULL")
    }

    /// The same, but commits are answered before they are on disk: for tests of what is stored rather than of how safely.
    #[cfg(test)]
    pub fn open_unsynced(path: &Path, key: Arc<SigningKey>) -> Result<(Sqlite, Threads), OpenError> {
        open(path, key, "OFF")
    }
}

fn open(path: &Path, key: Arc<SigningKey>, synchronous: &str) -> Result<(Sqlite, Threads), OpenError> {
    // SQLite would make it with the usual umask; its other files take the mode of this one.
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let small = file.metadata()?.len() <= CHECKED_WHOLE;
    drop(file);
    let mut conn = Connection::open(path)?;
    configure(&conn, synchronous)?;
    // A check reads all of the file; in a large one SQLite finds damage when it meets it.
    let check = if small { "PRAGMA quick_check(1)" } else { "SELECT 'ok' FROM sqlite_schema LIMIT 1" };
    let verdict: String = conn.query_row(check, [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(OpenError::Damaged { path: path.to_owned(), reason: verdict });
    }
    migrate::migrate(&mut conn)?;
    tables::remove_orphans(&conn, crate::clock::now_ms())?;
    let reader = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    reader.busy_timeout(Duration::from_secs(10))?;
    reader.set_prepared_statement_cache_capacity(STATEMENTS);
    let (read, read_thread) = Worker::start("pos-read", reader, false)?;
    let (write, write_thread) = Worker::start("pos-write", conn, true)?;
    let (changes, _) = broadcast::channel(CHANGES);
    Ok((Sqlite { write, read, key, changes }, Threads(vec![read_thread, write_thread])))
}

fn configure(conn: &Connection, synchronous: &str) -> Result<(), rusqlite::Error> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.busy_timeout(Duration::from_secs(10))?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.execute_batch("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;")
}
