//! Versions of policies.

use kiln_base::bundle::{Envelope, PolicyStatement, PublicKey, StatementError, TrustedKeys};
use kiln_base::model::Digest;
use kiln_base::wire::{Code, Page, VersionView};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::PageRequest;
use super::images::{image_keys, image_row};
use super::sql::{Sha, int, stored, time, to_store, uint};
use super::tables::require_tables;
use crate::problem::Problem;

/// The statement in an envelope if one of the keys signed it.
///
/// # Errors
/// `bad-signature` or `bad-statement`.
pub fn open_statement(envelope: &Envelope, keys: Vec<PublicKey>) -> Result<PolicyStatement, Problem> {
    let trusted = TrustedKeys::new(keys, Vec::new()).map_err(|e| Problem::new(Code::BadKey, e.to_string()))?;
    PolicyStatement::verify(envelope, &trusted).map_err(|error| {
        let code = match &error {
            StatementError::Envelope { .. } => Code::BadSignature,
            _ => Code::BadStatement,
        };
        Problem::new(code, error.to_string())
    })
}

/// What is stored of a version.
pub struct VersionRow {
    pub tables: Digest,
    pub policy: Digest,
    pub statement: Envelope,
    pub bytes: u64,
    pub kernel_part: Digest,
}

/// One version.
pub fn version_row(conn: &Connection, name: &str, serial: i64) -> Result<Option<VersionRow>, Problem> {
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
) -> Result<bool, Problem> {
    let serial = int("serial", statement.serial)?;
    if let Some(there) = version_row(conn, &statement.name, serial)? {
        if there.tables == statement.tables && there.policy == statement.policy {
            return Ok(false);
        }
        let detail = format!(
            "serial {serial} of `{}` has tables {}, these are {}; sign with a higher serial",
            statement.name, there.tables, statement.tables
        );
        return Err(Problem::new(Code::SerialReused, detail));
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
///
/// # Errors
/// `not-found`, `bad-signature`, `bad-statement`, `wrong-name`, `no-tables`, `serial-reused`, `serial-not-newer`.
pub fn publish(
    conn: &Connection,
    image: Digest,
    envelope: &Envelope,
    now: i64,
) -> Result<(VersionView, bool), Problem> {
    let row = image_row(conn, image)?;
    let statement = open_statement(envelope, image_keys(conn, row.id)?)?;
    if statement.name != row.policy_name {
        let detail = format!("the statement is for `{}`, the image's policy is `{}`", statement.name, row.policy_name);
        return Err(Problem::new(Code::WrongName, detail));
    }
    let serial = int("serial", statement.serial)?;
    let highest: i64 = conn
        .prepare_cached("SELECT coalesce(max(serial), 0) FROM versions WHERE name = ?1")?
        .query_row([&statement.name], |row| row.get(0))?;
    if serial <= highest && version_row(conn, &statement.name, serial)?.is_none() {
        let detail = format!(
            "`{}` is at serial {highest} already, {serial} is older; sign with {}",
            statement.name,
            highest + 1
        );
        return Err(Problem::new(Code::SerialNotNewer, detail));
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
///
/// # Errors
/// Where the database fails.
pub fn list_versions(conn: &Connection, page: PageRequest) -> Result<Page<VersionView>, Problem> {
    let sql = "SELECT rowid AS cursor, * FROM versions WHERE rowid > ?1 ORDER BY rowid LIMIT ?2";
    page.collect(conn, sql, params![page.after, page.limit_and_one()], view)
}
