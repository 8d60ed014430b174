//! Acknowledgements and the evidence in them.

use kiln_base::model::Digest;
use kiln_base::wire::{AckOutcome, AckRequest};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::instance_row;
use super::sql::{Sha, int, to_store, unsigned};
use super::tables::read_tables;
use super::versions::version_row;
use crate::store::rules::{Assigned, Report, acknowledged};
use crate::store::{Fault, InstanceId, StoreError};
use crate::tables::is_part;

/// ACKs that are kept of an instance; older ones go, never the one that counts.
const KEEP: i64 = 10_000;

/// Checks and stores an ACK; gives its number. The same again gives the same number.
pub fn acknowledge(conn: &Connection, instance: &InstanceId, ack: &AckRequest, now: i64) -> Result<u64, StoreError> {
    let (sequence, serial) = (int("sequence", ack.sequence)?, int("serial", ack.serial)?);
    let instance = instance_row(conn, instance.as_str())?;
    let sql = if sequence == 0 {
        "SELECT m.policy_name, m.baked_serial FROM instances i JOIN images m ON m.id = i.image WHERE i.id = ?1 AND ?2 = 0"
    } else {
        "SELECT name, serial FROM assignments WHERE instance = ?1 AND sequence = ?2"
    };
    let found: Option<(String, i64)> =
        conn.prepare_cached(sql)?.query_row([instance, sequence], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    let (name, assigned) = found.ok_or(StoreError::UnknownAssignment(ack.sequence))?;
    let version = version_row(conn, &name, assigned)?.ok_or_else(|| Fault::Stored {
        what: "an assignment",
        reason: format!("version {assigned} of {name} is missing"),
    })?;
    let mut kernel_part = version.kernel_part;
    if let Some(other) = ack.evidence.as_ref().map(|e| e.readback).filter(|found| *found != kernel_part)
        && is_part(&read_tables(conn, version.tables)?, other)
    {
        kernel_part = other;
    }
    let assigned = Assigned { serial: unsigned(assigned), tables: version.tables, kernel_part };
    let (evidence, boot, reason) = match acknowledged(ack, &assigned)? {
        Report::Enforced(evidence) => (Some(to_store(evidence)?), Some(evidence.boot_id.clone()), None),
        Report::Refused(reason) => (None, None, Some(reason)),
    };
    let hash = Sha(Digest::of(to_store(ack)?.as_bytes()));
    let sql = "SELECT id FROM acks WHERE instance = ?1 AND hash = ?2";
    let there: Option<i64> = conn.prepare_cached(sql)?.query_row(params![instance, hash], |r| r.get(0)).optional()?;
    if let Some(id) = there {
        return Ok(unsigned(id));
    }
    let sql = "INSERT INTO acks(instance, hash, sequence, serial, evidence, boot, reason, received) VALUES (?1,?2,?3,?4,?5,?6,?7,?8)";
    conn.prepare_cached(sql)?.execute(params![instance, hash, sequence, serial, evidence, boot, reason, now])?;
    let id = conn.last_insert_rowid();
    let sql = match ack.outcome {
        // A replay of an older sequence in the same boot does not undo the newer one.
        AckOutcome::Enforced => {
            "UPDATE instances SET enforced = ?2 WHERE id = ?1 AND NOT EXISTS(SELECT 1 FROM acks old, acks new
                WHERE old.id = enforced AND new.id = ?2 AND old.boot = new.boot AND old.sequence > new.sequence)"
        }
        AckOutcome::Refused => "UPDATE instances SET refused = ?2 WHERE id = ?1",
    };
    conn.prepare_cached(sql)?.execute([instance, id])?;
    // Each instance's ACKs are few; the bound is against one that is taken over.
    let sql = "DELETE FROM acks WHERE instance = ?1 AND id <= (SELECT id FROM acks WHERE instance = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
        AND id NOT IN (SELECT coalesce(enforced, 0) FROM instances WHERE id = ?1)
        AND id NOT IN (SELECT coalesce(refused, 0) FROM instances WHERE id = ?1)";
    if id % 256 == 0 {
        conn.prepare_cached(sql)?.execute([instance, KEEP])?;
    }
    Ok(unsigned(id))
}
