//! Tables files by digest.

use kiln_base::bundle::PolicyStatement;
use kiln_base::model::Digest;
use kiln_base::wire::Code;
use rusqlite::{Connection, OptionalExtension, params};

use super::sql::{Sha, int};
use crate::problem::Problem;
use crate::tables::Checked;

/// How long an upload may wait for its statement.
const ORPHAN_MS: i64 = 24 * 3600 * 1000;

/// Stores a tables file; says whether it is new.
///
/// # Errors
/// `out-of-range`, or where the database fails.
pub fn put_tables(
    conn: &Connection,
    digest: Digest,
    checked: &Checked,
    bytes: &[u8],
    now: i64,
) -> Result<bool, Problem> {
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
///
/// # Errors
/// Where the database fails.
pub fn remove_orphans(conn: &Connection, now: i64) -> Result<usize, rusqlite::Error> {
    conn.execute(
        "DELETE FROM tables WHERE added < ?1 AND NOT EXISTS(SELECT 1 FROM versions v WHERE v.tables = tables.digest)",
        [now - ORPHAN_MS],
    )
}

/// Fails with `no-tables` where they were not uploaded, and with `bad-statement` where they are another version than the statement says.
pub fn require_tables(conn: &Connection, statement: &PolicyStatement) -> Result<(), Problem> {
    let digest = statement.tables;
    let found: Option<(Sha, i64)> = conn
        .prepare_cached("SELECT policy, serial FROM tables WHERE digest = ?1")?
        .query_row([Sha(digest)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((Sha(policy), serial)) = found else {
        let detail = format!("tables {digest} are not there; upload them by PUT /v1/tables/{digest} first");
        return Err(Problem::new(Code::NoTables, detail));
    };
    if policy != statement.policy || serial != int("serial", statement.serial)? {
        let detail = format!(
            "tables {digest} were compiled from policy {policy} as serial {serial}; the statement says {} and {}",
            statement.policy, statement.serial
        );
        return Err(Problem::new(Code::BadStatement, detail));
    }
    Ok(())
}

/// A tables file.
///
/// # Errors
/// `not-found`.
pub fn read_tables(conn: &Connection, digest: Digest) -> Result<Vec<u8>, Problem> {
    let bytes = conn
        .prepare_cached("SELECT bytes FROM tables WHERE digest = ?1")?
        .query_row([Sha(digest)], |row| row.get(0))
        .optional()?;
    bytes.ok_or_else(|| Problem::new(Code::NotFound, format!("no tables {digest}")))
}

/// Whether an instance may have a tables file: only what was assigned to it or baked into its image.
///
/// # Errors
/// `not-found`, also for what others were assigned.
pub fn may_have(conn: &Connection, instance: i64, digest: Digest) -> Result<(), Problem> {
    let sql = "SELECT 1 WHERE
        EXISTS(SELECT 1 FROM assignments a JOIN versions v ON v.name = a.name AND v.serial = a.serial
               WHERE a.instance = ?1 AND v.tables = ?2)
        OR EXISTS(SELECT 1 FROM instances i JOIN images m ON m.id = i.image
                  JOIN versions v ON v.name = m.policy_name AND v.serial = m.baked_serial
                  WHERE i.id = ?1 AND v.tables = ?2)";
    let may = conn.prepare_cached(sql)?.query_row(params![instance, Sha(digest)], |_| Ok(())).optional()?;
    may.ok_or_else(|| Problem::new(Code::NotFound, format!("tables {digest} were never assigned to this instance")))
}
