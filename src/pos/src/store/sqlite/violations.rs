//! Violations, at least once from the agents and once in here.

use kiln_base::wire::ViolationsRequest;
use rusqlite::{Connection, OptionalExtension, params};

use super::sql::{int, to_store};
use crate::problem::Problem;

/// Boots whose sequence numbers are kept of an instance.
const KEEP_BOOTS: i64 = 1_000;

/// Stores what is new of a batch; gives the highest sequence number on disk for its boot. At most about `keep` violations of an instance
/// are kept, the newest.
///
/// # Errors
/// `out-of-range`; nothing of the batch is stored then.
pub fn store_violations(
    conn: &Connection,
    instance: i64,
    batch: &ViolationsRequest,
    keep: u64,
    now: i64,
) -> Result<u64, Problem> {
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
    Ok(highest.max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::migrate;
    use kiln_base::event::Violation;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn store() -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        conn.execute_batch(
            "INSERT INTO tables VALUES (x'01', x'02', x'05', 1, x'03', 4);
             INSERT INTO versions VALUES ('web', 1, x'05', x'01', '{}', 1, 6);
             INSERT INTO images(digest, name, policy_name, baked_serial, registered) VALUES (x'07', 'web', 'web', 1, 8);
             INSERT INTO instances(name, image, key, certificate, facts, boot, enrolled, last_seen)
                 VALUES ('i-1', 1, x'', '', '{}', 'b', 0, 0);",
        )
        .unwrap();
        conn
    }

    fn violation(seq: u64) -> Violation {
        let json = serde_json::json!({
            "schema": "kiln.violation.v1", "time": "", "seq": seq, "verdict": "denied", "profile": "", "block_kind": "",
            "rule": "", "verb": "", "object": "", "mode": "", "severity": "", "action": "", "pid": 1, "tid": 1, "ppid": 1,
            "uid": 0, "comm": "", "start_time_ns": 0, "cgroup_id": 0, "generation": 1, "subject": ""
        });
        serde_json::from_value(json).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// An agent that sends each batch again until it hears an answer, and then what is above it: everything arrives once, in
        /// order, whatever answers are lost.
        #[test]
        fn at_least_once_becomes_once(
            events in proptest::collection::vec((0usize..3, 1u64..4), 1..60), lost in proptest::collection::vec(any::<bool>(), 1..200), size in 1usize..9
        ) {
            let conn = store();
            let mut queues: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
            for (boot, gap) in events {
                let queue = queues.entry(boot).or_default();
                queue.push(queue.last().copied().unwrap_or(0) + gap);
            }
            let mut lost = lost.into_iter();
            for (boot, queue) in &queues {
                let mut left = queue.clone();
                while !left.is_empty() {
                    let violations = left.iter().take(size).map(|seq| violation(*seq)).collect();
                    let batch = ViolationsRequest { boot_id: format!("b{boot}"), dropped: 0, violations };
                    let stored = store_violations(&conn, 1, &batch, 1_000, 0).unwrap();
                    if !lost.next().unwrap_or(false) {
                        left.retain(|seq| *seq > stored);
                    }
                }
            }
            for (boot, queue) in &queues {
                let sql = "SELECT seq FROM violations WHERE boot = ?1 ORDER BY id";
                let mut query = conn.prepare(sql).unwrap();
                let found: Vec<u64> = query.query_map([format!("b{boot}")], |r| r.get::<_, i64>(0)).unwrap().map(|n| n.unwrap() as u64).collect();
                prop_assert_eq!(&found, queue);
            }
            let total: i64 = conn.query_row("SELECT violations FROM instances", [], |r| r.get(0)).unwrap();
            prop_assert_eq!(total as usize, queues.values().map(Vec::len).sum::<usize>());
        }
    }
}
