//! Tables files by digest.

use kiln_base::bundle::PolicyStatement;
use kiln_base::model::Digest;
use rusqlite::{Connection, OptionalExtension, params};

use super::sql::{Sha, int, unsigned};
use crate::store::rules::{ORPHAN_MS, fits_tables};
use crate::store::{InstanceId, StoreError};
use crate::tables::Checked;

/// Stores a tables file; says whether it is new.
pub fn put_tables(
    conn: &Connection,
    digest: Digest,
    checked: &Checked,
    bytes: &[u8],
    now: i64,
) -> Result<bool, StoreError> {
    let there = "UPDATE tables SET added = ?2 WHERE digest = ?1";
    // A repeated upload waits for its statement as long as a first one.
    if conn.prepare_cached(there)?.execute(params![Sha(digest), now])? > 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO tables(digest, kernel_part, policy, serial, bytes, added) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let serial = int("serial", checked.serial)?;
    let row = params![Sha(digest), Sha(checked.kernel_part), Sha(checked.policy), serial, bytes, now];
    conn.prepare_cached(sql)?.execute(row)?;
    Ok(true)
}

/// Removes uploads to which no statement came.
pub fn remove_orphans(conn: &Connection, now: i64) -> Result<usize, rusqlite::Error> {
    conn.execute(
        "DELETE FROM tables WHERE added < ?1 AND NOT EXISTS(SELECT 1 FROM versions v WHERE v.tables = tables.digest)",
        [now - ORPHAN_MS],
    )
}

/// Fails where a statement's tables were not uploaded, or are another version's.
pub fn require_tables(conn: &Connection, statement: &PolicyStatement) -> Result<(), StoreError> {
    let found: Option<(Sha, i64)> = conn
        .prepare_cached("SELECT policy, serial FROM tables WHERE digest = ?1")?
        .query_row([Sha(statement.tables)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    fits_tables(statement, found.map(|(Sha(policy), serial)| (policy, unsigned(serial))))
}

/// A tables file.
pub fn read_tables(conn: &Connection, digest: Digest) -> Result<Vec<u8>, StoreError> {
    let bytes = conn
        .prepare_cached("SELECT bytes FROM tables WHERE digest = ?1")?
        .query_row([Sha(digest)], |row| row.get(0))
        .optional()?;
    bytes.ok_or(StoreError::NoTables(digest))
}

/// Whether an instance may have a tables file: only what was assigned to it or baked into its image.
pub fn may_have(conn: &Connection, instance: &InstanceId, digest: Digest) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM instances i JOIN images m ON m.id = i.image WHERE i.name = ?1 AND (
        EXISTS(SELECT 1 FROM assignments a JOIN versions v ON v.name = a.name AND v.serial = a.serial
               WHERE a.instance = i.id AND v.tables = ?2)
        OR EXISTS(SELECT 1 FROM versions v
                  WHERE v.name = m.policy_name AND v.serial = m.baked_serial AND v.tables = ?2))";
    let may = conn.prepare_cached(sql)?.query_row(params![instance.as_str(), Sha(digest)], |_| Ok(())).optional()?;
    may.ok_or(StoreError::NotAssigned(digest))
}
