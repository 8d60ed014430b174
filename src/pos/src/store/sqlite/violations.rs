//! Violations, at least once from the agents and once in here.

use kiln_base::wire::ViolationsRequest;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::instance_row;
use super::sql::{int, to_store, unsigned};
use crate::store::{InstanceId, StoreError};

/// Boots whose sequence numbers are kept of an instance.
const KEEP_BOOTS: i64 = 1_000;

/// Stores what is new of a batch; gives the highest sequence number on disk for its boot. At most about `keep` violations of an instance
/// are kept, the newest.
pub fn record_violations(
    conn: &Connection,
    instance: &InstanceId,
    batch: &ViolationsRequest,
    keep: u64,
    now: i64,
) -> Result<u64, StoreError> {
    let instance = instance_row(conn, instance.as_str())?;
    let dropped = int("dropped", batch.dropped)?;
    let sql = "SELECT highest, dropped FROM boots WHERE instance = ?1 AND boot = ?2";
    let there: Option<(i64, i64)> = conn
        .prepare_cached(sql)?
        .query_row(params![instance, batch.boot_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // Sequence numbers start at 0 or 1; -1 is below both.
    let (mut highest, dropped_before) = there.unwrap_or((-1, 0));
    let mut new = 0;
    let mut insert =
        conn.prepare_cached("INSERT INTO violations(instance, boot, seq, body, received) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for violation in &batch.violations {
        let seq = int("seq", violation.seq)?;
        if seq <= highest {
            continue;
        }
        insert.execute(params![instance, batch.boot_id, seq, to_store(violation)?, now])?;
        highest = seq;
        new += 1;
    }
    let sql = "INSERT INTO boots(instance, boot, highest, dropped) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO UPDATE SET highest = excluded.highest, dropped = max(dropped, excluded.dropped)";
    conn.prepare_cached(sql)?.execute(params![instance, batch.boot_id, highest, dropped])?;
    let more = (dropped - dropped_before).max(0);
    let sql =
        "UPDATE instances SET violations = violations + ?2, dropped = dropped + ?3 WHERE id = ?1 RETURNING violations";
    let total: i64 = conn.prepare_cached(sql)?.query_row([instance, new, more], |row| row.get(0))?;
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    if there.is_none() {
        let sql = "DELETE FROM boots WHERE instance = ?1 AND id <=
            (SELECT id FROM boots WHERE instance = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        conn.prepare_cached(sql)?.execute([instance, KEEP_BOOTS])?;
    }
    // Finding the oldest walks over those that are kept, so not at each batch.
    let stride = (keep / 16).max(1);
    if new > 0 && total > keep && (total - new) / stride != total / stride {
        let sql = "DELETE FROM violations WHERE instance = ?1 AND id <=
            (SELECT id FROM violations WHERE instance = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        conn.prepare_cached(sql)?.execute([instance, keep])?;
    }
    Ok(unsigned(highest))
}
