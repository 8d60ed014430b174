//! Versions of policies.

use kiln_base::bundle::{Envelope, PolicyStatement};
use kiln_base::model::Digest;
use kiln_base::wire::{Page, VersionView};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{image_keys, image_row};
use super::sql::{Sha, int, limit_and_one, page_of, stored, time, to_store, uint, unsigned};
use super::tables::require_tables;
use crate::store::rules::{open_statement, same_version};
use crate::store::{PageRequest, StoreError};

/// What is stored of a version.
pub struct VersionRow {
    pub tables: Digest,
    pub policy: Digest,
    pub statement: Envelope,
    pub bytes: u64,
    pub kernel_part: Digest,
}

/// One version.
pub fn version_row(conn: &Connection, name: &str, serial: i64) -> Result<Option<VersionRow>, StoreError> {
    let sql = "SELECT v.tables, v.policy, v.statement, length(t.bytes) AS bytes, t.kernel_part FROM versions v
        JOIN tables t ON t.digest = v.tables WHERE v.name = ?1 AND v.serial = ?2";
    let row = conn
        .prepare_cached(sql)?
        .query_row(params![name, serial], |row| {
            Ok((
                row.get::<_, Sha>("tables")?.0,
                row.get::<_, Sha>("policy")?.0,
                row.get::<_, String>("statement")?,
                uint(row, "bytes")?,
                row.get::<_, Sha>("kernel_part")?.0,
            ))
        })
        .optional()?;
    let Some((tables, policy, statement, bytes, kernel_part)) = row else { return Ok(None) };
    Ok(Some(VersionRow { tables, policy, statement: stored(&statement)?, bytes, kernel_part }))
}

/// Stores a version; the same again is not an error. Says whether it is new.
pub fn insert_version(
    conn: &Connection,
    statement: &PolicyStatement,
    envelope: &Envelope,
    baked: bool,
    now: i64,
) -> Result<bool, StoreError> {
    let serial = int("serial", statement.serial)?;
    let there = version_row(conn, &statement.name, serial)?;
    if same_version(statement, there.map(|there| (there.policy, there.tables)))? {
        return Ok(false);
    }
    require_tables(conn, statement)?;
    let sql =
        "INSERT INTO versions(name, serial, policy, tables, statement, baked, published) VALUES (?1,?2,?3,?4,?5,?6,?7)";
    conn.prepare_cached(sql)?.execute(params![
        statement.name,
        serial,
        Sha(statement.policy),
        Sha(statement.tables),
        to_store(envelope)?,
        baked,
        now
    ])?;
    Ok(true)
}

/// Publishes a version for an image's policy. Says whether it is new.
pub fn publish(
    conn: &Connection,
    image: Digest,
    envelope: &Envelope,
    now: i64,
) -> Result<(VersionView, bool), StoreError> {
    let row = image_row(conn, image)?;
    let statement = open_statement(envelope, image_keys(conn, row.id)?)?;
    if statement.name != row.policy_name {
        return Err(StoreError::StatementForOther { stated: statement.name, policy: row.policy_name });
    }
    let serial = int("serial", statement.serial)?;
    let highest: i64 = conn
        .prepare_cached("SELECT coalesce(max(serial), 0) FROM versions WHERE name = ?1")?
        .query_row([&statement.name], |row| row.get(0))?;
    if serial <= highest && version_row(conn, &statement.name, serial)?.is_none() {
        let (name, highest) = (statement.name, unsigned(highest));
        return Err(StoreError::OlderThanPublished { name, highest, serial: statement.serial });
    }
    let new = insert_version(conn, &statement, envelope, false, now)?;
    let sql = "SELECT * FROM versions WHERE name = ?1 AND serial = ?2";
    let view = conn.prepare_cached(sql)?.query_row(params![statement.name, serial], view)?;
    Ok((view, new))
}

fn view(row: &Row<'_>) -> rusqlite::Result<VersionView> {
    Ok(VersionView {
        name: row.get("name")?,
        serial: uint(row, "serial")?,
        tables: row.get::<_, Sha>("tables")?.0,
        policy: row.get::<_, Sha>("policy")?.0,
        baked: row.get("baked")?,
        published: time(row, "published")?,
    })
}

/// Versions in the order in which they came.
pub fn list_versions(conn: &Connection, page: PageRequest) -> Result<Page<VersionView>, StoreError> {
    let sql = "SELECT rowid AS cursor, * FROM versions WHERE rowid > ?1 ORDER BY rowid LIMIT ?2";
    page_of(conn, page, sql, params![page.after, limit_and_one(page)], view)
}
