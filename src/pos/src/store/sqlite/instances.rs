//! Instances: enrolment, renewal, revocation.

use kiln_base::bundle::SigningKey;
use kiln_base::wire::InstanceView;
use rusqlite::{Connection, OptionalExtension, params};

use super::assignments::assign_one;
use super::identities::record_instance;
use super::lists::instance_by_row;
use super::rows::instance_row;
use super::sql::{Sha, to_store, unsigned};
use crate::pki::Issued;
use crate::store::rules::{MAX_CERTIFICATES, User, redeem};
use crate::store::{Enrolled, Enrolment, InstanceId, StoreError};

/// Enrols an instance, or answers a retry.
pub fn enrol(conn: &Connection, enrolment: Enrolment, key: &SigningKey, now: i64) -> Result<Enrolled, StoreError> {
    let sql = "SELECT t.id, t.image, t.expires, m.digest, i.name, i.key, i.certificate, i.revoked FROM tokens t
        JOIN images m ON m.id = t.image LEFT JOIN instances i ON i.id = t.instance WHERE t.hash = ?1";
    let found = conn
        .prepare_cached(sql)?
        .query_row([Sha(enrolment.token_hash)], |row| {
            let used = match row.get::<_, Option<String>>(4)? {
                Some(name) => {
                    let user = User { key: row.get(5)?, revoked: row.get::<_, Option<i64>>(7)?.is_some() };
                    Some((name, row.get::<_, String>(6)?, user))
                }
                None => None,
            };
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, Sha>(3)?.0, used))
        })
        .optional()?;
    let (token, image, expires, digest, used) = found.ok_or(StoreError::UnknownToken)?;
    let may = redeem(expires, used.as_ref().map(|(_, _, user)| user), &enrolment.key, now)?;
    if let (false, Some((name, certificate, _))) = (may, used) {
        return Ok(Enrolled { instance: name.into(), image: digest, certificate, new: false });
    }
    let Enrolment { key: spki, facts, id, certify, .. } = enrolment;
    let issued = certify(id.as_str())?;
    let sql = "INSERT INTO instances(name, image, key, certificate, facts, boot, enrolled, last_seen) VALUES (?1,?2,?3,?4,?5,?6,?7,?7)";
    let row = params![id.as_str(), image, spki, issued.pem, to_store(&facts)?, facts.boot_id, now];
    conn.prepare_cached(sql)?.execute(row)?;
    let row = conn.last_insert_rowid();
    record_instance(conn, row, &issued, now)?;
    conn.prepare_cached("UPDATE tokens SET instance = ?2 WHERE id = ?1")?.execute([token, row])?;
    // What the whole image was assigned holds for those that come later.
    let sql = "SELECT policy_name, assigned_serial FROM images WHERE id = ?1 AND assigned_serial > baked_serial";
    let standing: Option<(String, i64)> =
        conn.prepare_cached(sql)?.query_row([image], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    if let Some((policy, serial)) = standing {
        assign_one(conn, row, &policy, serial, key, now)?;
    }
    Ok(Enrolled { instance: id, image: digest, certificate: issued.pem, new: true })
}

/// Records a new certificate of an enrolled instance.
pub fn renew(conn: &Connection, instance: &InstanceId, issued: &Issued, now: i64) -> Result<(), StoreError> {
    let instance = instance_row(conn, instance.as_str())?;
    conn.prepare_cached("DELETE FROM certificates WHERE instance = ?1 AND expires < ?2")?.execute([instance, now])?;
    let sql = "SELECT count(*) FROM certificates WHERE instance = ?1";
    let there: i64 = conn.prepare_cached(sql)?.query_row([instance], |row| row.get(0))?;
    if unsigned(there) >= MAX_CERTIFICATES {
        return Err(StoreError::ManyCertificates(MAX_CERTIFICATES));
    }
    record_instance(conn, instance, issued, now)
}

/// Revokes an instance for good; the first reason stands.
pub fn revoke(conn: &Connection, name: &str, reason: &str, now: i64) -> Result<InstanceView, StoreError> {
    let row = instance_row(conn, name)?;
    let sql = "UPDATE instances SET revoked = ?2, revoke_reason = ?3 WHERE id = ?1 AND revoked IS NULL";
    conn.prepare_cached(sql)?.execute(params![row, now, reason])?;
    instance_by_row(conn, row)
}

/// One instance.
pub fn instance_view(conn: &Connection, name: &str) -> Result<InstanceView, StoreError> {
    let row = instance_row(conn, name)?;
    instance_by_row(conn, row)
}

/// Records the boot of an instance that opened a stream.
pub fn opened(conn: &Connection, instance: &InstanceId, boot: &str, now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE instances SET last_seen = max(last_seen, ?2), boot = ?3 WHERE name = ?1";
    conn.prepare_cached(sql)?.execute(params![instance.as_str(), now, boot])?;
    Ok(())
}

/// Records when instances were last heard of.
pub fn seen(conn: &Connection, seen: &[(InstanceId, i64)]) -> Result<(), StoreError> {
    let mut query = conn.prepare_cached("UPDATE instances SET last_seen = max(last_seen, ?2) WHERE name = ?1")?;
    for (instance, at) in seen {
        query.execute(params![instance.as_str(), at])?;
    }
    Ok(())
}
