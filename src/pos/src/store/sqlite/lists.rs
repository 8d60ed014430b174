//! Reading: pages of what is there, and the whole state.

use kiln_base::wire::{AckOutcome, AckView, Assigned, Enforced, InstanceView, Page, Refused, StateView, ViolationView};
use rusqlite::{Connection, Row, params};

use super::rows::instance_row;
use super::sql::{Sha, limit_and_one, page_of, stored, time, uint, unsigned};
use crate::store::{PageRequest, StoreError};

/// In step: the evidence is of the boot that last opened a stream, and for what is assigned.
const VIEW: &str = "SELECT i.id AS cursor, i.*, m.digest AS image_digest, m.name AS image_name, m.policy_name,
        v.serial AS assigned_serial, v.tables AS assigned_tables,
        e.sequence AS e_sequence, e.serial AS e_serial, e.boot AS e_boot, e.received AS e_received,
        r.sequence AS r_sequence, r.serial AS r_serial, r.reason AS r_reason, r.received AS r_received,
        coalesce(e.sequence = i.sequence AND e.boot = i.boot, 0) AS in_step
    FROM instances i JOIN images m ON m.id = i.image
    LEFT JOIN assignments a ON a.instance = i.id AND a.sequence = i.sequence
    JOIN versions v ON v.name = m.policy_name AND v.serial = coalesce(a.serial, m.baked_serial)
    LEFT JOIN acks e ON e.id = i.enforced LEFT JOIN acks r ON r.id = i.refused";

fn view(row: &Row<'_>) -> rusqlite::Result<(InstanceView, String)> {
    let enforced = match row.get::<_, Option<i64>>("e_sequence")? {
        Some(_) => Some(Enforced {
            ack: uint(row, "enforced")?,
            sequence: uint(row, "e_sequence")?,
            serial: uint(row, "e_serial")?,
            boot_id: row.get("e_boot")?,
            received: time(row, "e_received")?,
        }),
        None => None,
    };
    let refused = match row.get::<_, Option<i64>>("r_sequence")? {
        Some(_) => Some(Refused {
            sequence: uint(row, "r_sequence")?,
            serial: uint(row, "r_serial")?,
            reason: row.get("r_reason")?,
            received: time(row, "r_received")?,
        }),
        None => None,
    };
    let revoked = row.get::<_, Option<i64>>("revoked")?.map(crate::clock::text);
    let view = InstanceView {
        instance: row.get("name")?,
        image: row.get::<_, Sha>("image_digest")?.0,
        image_name: row.get("image_name")?,
        policy_name: row.get("policy_name")?,
        // Parsed by the caller, who can fail with a reason.
        facts: kiln_base::wire::Facts {
            boot_id: String::new(),
            kernel: String::new(),
            hostname: None,
            machine_id: None,
            agent: None,
            serial: None,
            tables: None,
        },
        boot_id: row.get("boot")?,
        enrolled: time(row, "enrolled")?,
        revoked,
        connected: false,
        last_seen: time(row, "last_seen")?,
        assigned: Assigned {
            sequence: uint(row, "sequence")?,
            serial: uint(row, "assigned_serial")?,
            tables: row.get::<_, Sha>("assigned_tables")?.0,
        },
        enforced,
        refused,
        in_step: row.get("in_step")?,
        violations: uint(row, "violations")?,
        dropped: uint(row, "dropped")?,
    };
    Ok((view, row.get("facts")?))
}

fn with_facts((mut view, facts): (InstanceView, String)) -> Result<InstanceView, StoreError> {
    view.facts = stored(&facts)?;
    Ok(view)
}

/// One instance by its row. Whether it is connected is filled in by the API, which knows the streams.
pub fn instance_by_row(conn: &Connection, row: i64) -> Result<InstanceView, StoreError> {
    with_facts(conn.prepare_cached(&format!("{VIEW} WHERE i.id = ?1"))?.query_row([row], view)?)
}

/// Instances in the order in which they enrolled.
pub fn list_instances(conn: &Connection, page: PageRequest) -> Result<Page<InstanceView>, StoreError> {
    let sql = format!("{VIEW} WHERE i.id > ?1 ORDER BY i.id LIMIT ?2");
    let found = page_of(conn, page, &sql, params![page.after, limit_and_one(page)], view)?;
    let items = found.items.into_iter().map(with_facts).collect::<Result<_, _>>()?;
    Ok(Page { items, next: found.next })
}

/// ACKs, all or one instance's, oldest first.
pub fn list_acks(conn: &Connection, instance: Option<&str>, page: PageRequest) -> Result<Page<AckView>, StoreError> {
    let row = instance.map(|name| instance_row(conn, name)).transpose()?;
    let sql = match row {
        Some(_) => {
            "SELECT a.id AS cursor, a.*, i.name FROM acks a JOIN instances i ON i.id = a.instance
            WHERE a.instance = ?3 AND a.id > ?1 ORDER BY a.id LIMIT ?2"
        }
        None => {
            "SELECT a.id AS cursor, a.*, i.name FROM acks a JOIN instances i ON i.id = a.instance
            WHERE ?3 IS NULL AND a.id > ?1 ORDER BY a.id LIMIT ?2"
        }
    };
    let found = page_of(conn, page, sql, params![page.after, limit_and_one(page), row], |row| {
        let evidence: Option<String> = row.get("evidence")?;
        let outcome = if evidence.is_some() { AckOutcome::Enforced } else { AckOutcome::Refused };
        let view = AckView {
            ack: uint(row, "id")?,
            instance: row.get("name")?,
            sequence: uint(row, "sequence")?,
            serial: uint(row, "serial")?,
            outcome,
            evidence: None,
            reason: row.get("reason")?,
            received: time(row, "received")?,
        };
        Ok((view, evidence))
    })?;
    let fill = |(view, evidence): (AckView, Option<String>)| -> Result<AckView, StoreError> {
        Ok(AckView { evidence: evidence.as_deref().map(stored).transpose()?, ..view })
    };
    Ok(Page { items: found.items.into_iter().map(fill).collect::<Result<_, _>>()?, next: found.next })
}

/// Violations, all or one instance's, oldest first.
pub fn list_violations(
    conn: &Connection,
    instance: Option<&str>,
    page: PageRequest,
) -> Result<Page<ViolationView>, StoreError> {
    let row = instance.map(|name| instance_row(conn, name)).transpose()?;
    let (bound, order) = match page.before {
        None => ("v.id > ?1", "ASC"),
        Some(_) => ("v.id < ?1", "DESC"),
    };
    let whose = if row.is_some() { "v.instance = ?3" } else { "?3 IS NULL" };
    let sql = format!(
        "SELECT v.id AS cursor, v.*, i.name FROM violations v JOIN instances i ON i.id = v.instance
         WHERE {whose} AND {bound} ORDER BY v.id {order} LIMIT ?2"
    );
    let start = page.before.unwrap_or(page.after);
    let found = page_of(conn, page, &sql, params![start, limit_and_one(page), row], |row| {
        Ok((
            uint(row, "cursor")?,
            row.get::<_, String>("name")?,
            row.get::<_, String>("boot")?,
            time(row, "received")?,
            row.get::<_, String>("body")?,
        ))
    })?;
    let fill = |(number, instance, boot_id, received, body): (u64, String, String, String, String)| {
        Ok::<_, StoreError>(ViolationView { number, instance, boot_id, received, violation: stored(&body)? })
    };
    Ok(Page { items: found.items.into_iter().map(fill).collect::<Result<_, _>>()?, next: found.next })
}

/// Totals, and a page of instances; what concerns open streams is filled in by the API.
pub fn state(conn: &Connection, page: PageRequest) -> Result<StateView, StoreError> {
    let count = |sql: &str| -> Result<u64, StoreError> {
        Ok(unsigned(conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
    };
    let rows = list_instances(conn, page)?;
    Ok(StateView {
        images: count("SELECT count(*) FROM images")?,
        versions: count("SELECT count(*) FROM versions")?,
        instances: count("SELECT count(*) FROM instances WHERE revoked IS NULL")?,
        connected: 0,
        out_of_step: count(
            "SELECT count(*) FROM instances i LEFT JOIN acks e ON e.id = i.enforced
             WHERE i.revoked IS NULL AND NOT coalesce(e.sequence = i.sequence AND e.boot = i.boot, 0)",
        )?,
        revoked: count("SELECT count(*) FROM instances WHERE revoked IS NOT NULL")?,
        violations: count("SELECT coalesce(sum(violations), 0) FROM instances")?,
        items: rows.items,
        next: rows.next,
    })
}
