//! Assignments: who shall enforce which version.

use std::sync::Arc;

use kiln_base::bundle::{Assignment, SigningKey};
use kiln_base::wire::{AssignAnswer, AssignmentLine, NewAssignment, StreamMessage};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{image_row, instance_row};
use super::sql::{int, stored, to_store, unsigned};
use super::versions::version_row;
use crate::store::rules::{not_older, of_policy};
use crate::store::{Desired, InstanceId, StoreError, Target};

/// What an instance is at: sequence (0: baked) and serial.
fn current(conn: &Connection, instance: i64) -> Result<(i64, i64), StoreError> {
    let sql = "SELECT i.sequence, coalesce(a.serial, m.baked_serial) FROM instances i JOIN images m ON m.id = i.image
        LEFT JOIN assignments a ON a.instance = i.id AND a.sequence = i.sequence WHERE i.id = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([instance], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Signs and stores the next assignment of an instance. Its serial must be above the current one; the caller checked.
pub fn assign_one(
    conn: &Connection,
    instance: i64,
    name: &str,
    serial: i64,
    key: &SigningKey,
    now: i64,
) -> Result<Desired, StoreError> {
    let version = version_row(conn, name, serial)?.ok_or_else(|| no_version(name, serial))?;
    let sql = "UPDATE instances SET sequence = sequence + 1 WHERE id = ?1 RETURNING name, sequence";
    let (id, stored): (String, i64) =
        conn.prepare_cached(sql)?.query_row([instance], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (wire_serial, sequence) = (unsigned(serial), unsigned(stored));
    let assignment = Assignment { instance: id.clone(), serial: wire_serial, tables: version.tables, sequence };
    let envelope = assignment.sign(key);
    let sql =
        "INSERT INTO assignments(instance, sequence, name, serial, envelope, assigned) VALUES (?1,?2,?3,?4,?5,?6)";
    conn.prepare_cached(sql)?.execute(params![instance, stored, name, serial, to_store(&envelope)?, now])?;
    let line = AssignmentLine {
        sequence,
        serial: wire_serial,
        tables: version.tables,
        bytes: version.bytes,
        assignment: envelope,
        statement: version.statement,
    };
    Ok(Desired { instance: id.into(), sequence, message: StreamMessage::Assignment(Box::new(line)) })
}

fn no_version(name: &str, serial: i64) -> StoreError {
    StoreError::NoVersion { name: name.to_owned(), serial: unsigned(serial) }
}

/// Assigns a version; gives the answer, and what is new for the streams.
pub fn assign(
    conn: &Connection,
    target: &Target,
    name: &str,
    serial: u64,
    key: &SigningKey,
    now: i64,
) -> Result<(AssignAnswer, Vec<Arc<Desired>>), StoreError> {
    let wanted = int("serial", serial)?;
    let instances = match target {
        Target::Image(image) => instances_of(conn, *image, name, wanted)?,
        Target::Instance(id) => vec![(assignable(conn, id, name, serial)?, id.clone())],
    };
    let mut new = Vec::new();
    let mut answer = AssignAnswer { assigned: Vec::new(), unchanged: Vec::new() };
    for (row, id) in instances {
        let (_, at) = current(conn, row)?;
        if wanted <= at {
            answer.unchanged.push(id);
            continue;
        }
        let desired = assign_one(conn, row, name, wanted, key, now)?;
        answer.assigned.push(NewAssignment { instance: id, sequence: desired.sequence });
        new.push(Arc::new(desired));
    }
    Ok((answer, new))
}

/// Gives a version to an image, for those that enrol later; gives those that did.
fn instances_of(
    conn: &Connection,
    image: kiln_base::model::Digest,
    name: &str,
    serial: i64,
) -> Result<Vec<(i64, String)>, StoreError> {
    let image = image_row(conn, image)?;
    of_policy(&image.policy_name, name)?;
    not_older(unsigned(image.assigned_serial.unwrap_or(image.baked_serial)), unsigned(serial))?;
    version_row(conn, name, serial)?.ok_or_else(|| no_version(name, serial))?;
    conn.prepare_cached("UPDATE images SET assigned_serial = ?2 WHERE id = ?1")?.execute([image.id, serial])?;
    let mut query =
        conn.prepare_cached("SELECT id, name FROM instances WHERE image = ?1 AND revoked IS NULL ORDER BY id")?;
    let rows = query.query_map([image.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The row of an instance that may be assigned that serial of a policy.
fn assignable(conn: &Connection, id: &str, name: &str, serial: u64) -> Result<i64, StoreError> {
    let row = instance_row(conn, id)?;
    let sql = "SELECT m.policy_name, i.revoked FROM instances i JOIN images m ON m.id = i.image WHERE i.id = ?1";
    let (policy, revoked): (String, Option<i64>) =
        conn.prepare_cached(sql)?.query_row([row], |r| Ok((r.get(0)?, r.get(1)?)))?;
    of_policy(&policy, name)?;
    if revoked.is_some() {
        return Err(StoreError::RevokedInstance(id.to_owned()));
    }
    let (_, at) = current(conn, row)?;
    not_older(unsigned(at), serial)?;
    Ok(row)
}

/// The newest assignment of an instance above a sequence.
pub fn newest_assignment(conn: &Connection, id: &InstanceId, after: u64) -> Result<Option<Desired>, StoreError> {
    let sql = "SELECT a.sequence, a.name, a.serial, a.envelope FROM assignments a
        WHERE a.instance = (SELECT id FROM instances WHERE name = ?1) ORDER BY a.sequence DESC LIMIT 1";
    let found: Option<(i64, String, i64, String)> = conn
        .prepare_cached(sql)?
        .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((sequence, name, serial, envelope)) = found else { return Ok(None) };
    let sequence = unsigned(sequence);
    if sequence <= after {
        return Ok(None);
    }
    let version = version_row(conn, &name, serial)?.ok_or_else(|| no_version(&name, serial))?;
    let line = AssignmentLine {
        sequence,
        serial: unsigned(serial),
        tables: version.tables,
        bytes: version.bytes,
        assignment: stored(&envelope)?,
        statement: version.statement,
    };
    Ok(Some(Desired { instance: id.clone(), sequence, message: StreamMessage::Assignment(Box::new(line)) }))
}
