//! Acknowledgements and the evidence in them.

use kiln_base::model::Digest;
use kiln_base::wire::{AckOutcome, AckRequest, Code};
use rusqlite::{Connection, OptionalExtension, params};

use super::sql::{Sha, check_text, int, to_store};
use super::versions::version_row;
use crate::evidence;
use crate::problem::Problem;

/// ACKs that are kept of an instance; older ones go, never the one that counts.
const KEEP: i64 = 10_000;

/// Checks and stores an ACK; gives its number. The same again gives the same number.
///
/// # Errors
/// `unknown-assignment`, `no-evidence`, `evidence-…`, `out-of-range`; nothing is stored then.
pub fn store_ack(conn: &Connection, instance: i64, ack: &AckRequest, now: i64) -> Result<u64, Problem> {
    let (sequence, serial) = (int("sequence", ack.sequence)?, int("serial", ack.serial)?);
    let sql = if sequence == 0 {
        "SELECT m.policy_name, m.baked_serial FROM instances i JOIN images m ON m.id = i.image WHERE i.id = ?1 AND ?2 = 0"
    } else {
        "SELECT name, serial FROM assignments WHERE instance = ?1 AND sequence = ?2"
    };
    let assigned: Option<(String, i64)> =
        conn.prepare_cached(sql)?.query_row([instance, sequence], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    let Some((name, assigned_serial)) = assigned else {
        let detail = format!("this instance was never given sequence {sequence}");
        return Err(Problem::new(Code::UnknownAssignment, detail));
    };
    let (evidence, boot, reason) = match ack.outcome {
        AckOutcome::Enforced => {
            let found = ack.evidence.as_ref().ok_or_else(|| {
                Problem::new(Code::NoEvidence, "`enforced` needs `evidence`: what the kernel says is loaded")
            })?;
            let version = version_row(conn, &name, assigned_serial)?
                .ok_or_else(|| Problem::internal(format!("version {assigned_serial} of {name} is missing")))?;
            if serial != assigned_serial || found.serial != ack.serial {
                let detail = format!("sequence {sequence} has serial {assigned_serial}, the ACK says {serial}");
                return Err(Problem::new(Code::EvidenceTables, detail));
            }
            evidence::check(found, version.tables, version.kernel_part)?;
            (Some(to_store(found)?), Some(found.boot_id.clone()), None)
        }
        AckOutcome::Refused => {
            let reason = ack.reason.as_deref().unwrap_or_default();
            // An error's text may have several lines; it is shown in one, and can steer no terminal.
            let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            check_text("reason", &reason, 1024)?;
            (None, None, Some(reason))
        }
    };
    let hash = Sha(Digest::of(to_store(ack)?.as_bytes()));
    let sql = "SELECT id FROM acks WHERE instance = ?1 AND hash = ?2";
    let there: Option<i64> = conn.prepare_cached(sql)?.query_row(params![instance, hash], |r| r.get(0)).optional()?;
    if let Some(id) = there {
        return Ok(id.max(0) as u64);
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
    Ok(id.max(0) as u64)
}
