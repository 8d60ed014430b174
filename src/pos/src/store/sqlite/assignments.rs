//! Assignments: who shall enforce which version.

use kiln_base::bundle::{Assignment, SigningKey};
use kiln_base::wire::{AssignAnswer, AssignRequest, Code, NewAssignment, StreamMessage};
use rusqlite::{Connection, OptionalExtension, params};

use super::images::image_row;
use super::instances::instance_row;
use super::sql::{int, stored, to_store};
use super::versions::version_row;
use crate::problem::Problem;

/// An assignment to put on an instance's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The instance's row.
    pub instance: i64,
    /// Its sequence.
    pub sequence: u64,
    /// The line.
    pub message: StreamMessage,
}

/// What an instance is at: sequence (0: baked) and serial.
fn current(conn: &Connection, instance: i64) -> Result<(i64, i64), Problem> {
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
) -> Result<(String, Pushed), Problem> {
    let version = version_row(conn, name, serial)?.ok_or_else(|| no_version(name, serial))?;
    let sql = "UPDATE instances SET sequence = sequence + 1 WHERE id = ?1 RETURNING name, sequence";
    let (id, sequence): (String, i64) =
        conn.prepare_cached(sql)?.query_row([instance], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (serial_u, sequence_u) = (serial.max(0) as u64, sequence.max(0) as u64);
    let assignment =
        Assignment { instance: id.clone(), serial: serial_u, tables: version.tables, sequence: sequence_u };
    let envelope = assignment.sign(key);
    let sql =
        "INSERT INTO assignments(instance, sequence, name, serial, envelope, assigned) VALUES (?1,?2,?3,?4,?5,?6)";
    conn.prepare_cached(sql)?.execute(params![instance, sequence, name, serial, to_store(&envelope)?, now])?;
    let message = StreamMessage::Assignment {
        sequence: sequence_u,
        serial: serial_u,
        tables: version.tables,
        bytes: version.bytes,
        assignment: envelope,
        statement: version.statement,
    };
    Ok((id, Pushed { instance, sequence: sequence_u, message }))
}

fn no_version(name: &str, serial: i64) -> Problem {
    Problem::new(Code::NotFound, format!("no version {serial} of `{name}`; publish it first (POST /v1/policies)"))
}

/// Assigns a version to an instance, or to all of an image and those to come.
///
/// # Errors
/// `not-found`, `bad-request`, `wrong-name`, `serial-not-newer`, `revoked`.
pub fn assign(
    conn: &Connection,
    request: &AssignRequest,
    key: &SigningKey,
    now: i64,
) -> Result<(AssignAnswer, Vec<Pushed>), Problem> {
    let serial = int("serial", request.serial)?;
    let mut pushed = Vec::new();
    let mut answer = AssignAnswer { assigned: Vec::new(), unchanged: Vec::new() };
    let instances = match (request.image, &request.instance) {
        (Some(image), None) => {
            let image = image_row(conn, image)?;
            check_name(&image.policy_name, &request.name)?;
            let standing = image.assigned_serial.unwrap_or(image.baked_serial);
            if serial < standing {
                return Err(older(standing, serial));
            }
            version_row(conn, &request.name, serial)?.ok_or_else(|| no_version(&request.name, serial))?;
            conn.prepare_cached("UPDATE images SET assigned_serial = ?2 WHERE id = ?1")?.execute([image.id, serial])?;
            let mut query =
                conn.prepare_cached("SELECT id, name FROM instances WHERE image = ?1 AND revoked IS NULL ORDER BY id")?;
            let rows = query.query_map([image.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<(i64, String)>, _>>()?
        }
        (None, Some(name)) => {
            let row = instance_row(conn, name)?;
            let sql =
                "SELECT m.policy_name, i.revoked FROM instances i JOIN images m ON m.id = i.image WHERE i.id = ?1";
            let (policy, revoked): (String, Option<i64>) =
                conn.prepare_cached(sql)?.query_row([row], |r| Ok((r.get(0)?, r.get(1)?)))?;
            check_name(&policy, &request.name)?;
            if revoked.is_some() {
                return Err(Problem::new(Code::Revoked, format!("instance {name} is revoked")));
            }
            let (_, at) = current(conn, row)?;
            if serial < at {
                return Err(older(at, serial));
            }
            vec![(row, name.clone())]
        }
        _ => return Err(Problem::new(Code::BadRequest, "give `image` or `instance`, one of them")),
    };
    for (row, name) in instances {
        let (_, at) = current(conn, row)?;
        if serial <= at {
            answer.unchanged.push(name);
            continue;
        }
        let (id, push) = assign_one(conn, row, &request.name, serial, key, now)?;
        answer.assigned.push(NewAssignment { instance: id, sequence: push.sequence });
        pushed.push(push);
    }
    Ok((answer, pushed))
}

fn check_name(policy: &str, asked: &str) -> Result<(), Problem> {
    if policy == asked {
        return Ok(());
    }
    let asked: String = asked.chars().take(256).collect();
    Err(Problem::new(Code::WrongName, format!("the image's policy is `{policy}`, not `{asked}`")))
}

fn older(at: i64, serial: i64) -> Problem {
    let detail =
        format!("serial {at} is assigned, {serial} is older; to go back, publish the old policy under a new serial");
    Problem::new(Code::SerialNotNewer, detail)
}

/// The newest assignment of an instance above a sequence.
///
/// # Errors
/// Where the database fails.
pub fn newest_assignment(conn: &Connection, instance: i64, after: u64) -> Result<Option<Pushed>, Problem> {
    let sql = "SELECT a.sequence, a.name, a.serial, a.envelope FROM assignments a WHERE a.instance = ?1
        ORDER BY a.sequence DESC LIMIT 1";
    let found: Option<(i64, String, i64, String)> = conn
        .prepare_cached(sql)?
        .query_row([instance], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((sequence, name, serial, envelope)) = found else { return Ok(None) };
    let sequence = sequence.max(0) as u64;
    if sequence <= after {
        return Ok(None);
    }
    let version = version_row(conn, &name, serial)?.ok_or_else(|| no_version(&name, serial))?;
    let message = StreamMessage::Assignment {
        sequence,
        serial: serial.max(0) as u64,
        tables: version.tables,
        bytes: version.bytes,
        assignment: stored(&envelope)?,
        statement: version.statement,
    };
    Ok(Some(Pushed { instance, sequence, message }))
}
