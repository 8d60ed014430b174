//! Instances: enrolment, renewal, revocation.

use kiln_base::bundle::SigningKey;
use kiln_base::model::Digest;
use kiln_base::wire::{Code, Facts, InstanceView};
use rusqlite::{Connection, OptionalExtension, params};

use super::assignments::assign_one;
use super::identities::register_instance;
use super::lists::instance_by_row;
use super::sql::{Sha, to_store};
use crate::pki::Issued;
use crate::problem::Problem;

/// A checked enrolment.
pub struct EnrolInput {
    /// SHA-256 of the token.
    pub token_hash: Digest,
    /// SPKI DER of the instance's key.
    pub key: Vec<u8>,
    /// What the machine says.
    pub facts: Facts,
    /// The id it gets if it is new.
    pub name: String,
    /// Now.
    pub now: i64,
}

/// Who enrolled, and with which certificate.
#[derive(Debug)]
pub struct Enrolled {
    /// `i-…`.
    pub name: String,
    /// The token's image.
    pub image: Digest,
    /// PEM; the same bytes at each retry.
    pub certificate: String,
    /// Not a retry.
    pub new: bool,
}

/// Enrols an instance, or answers a retry. `certify` makes the certificate for an id.
///
/// # Errors
/// `token-unknown`, `token-used`, `token-expired`, `revoked`.
pub fn enrol(
    conn: &Connection,
    input: &EnrolInput,
    key: &SigningKey,
    certify: impl FnOnce(&str) -> Result<Issued, Problem>,
) -> Result<Enrolled, Problem> {
    let sql = "SELECT t.id, t.image, t.expires, m.digest, i.name, i.key, i.certificate, i.revoked FROM tokens t
        JOIN images m ON m.id = t.image LEFT JOIN instances i ON i.id = t.instance WHERE t.hash = ?1";
    let found = conn
        .prepare_cached(sql)?
        .query_row([Sha(input.token_hash)], |row| {
            let used = match row.get::<_, Option<String>>(4)? {
                Some(name) => Some((
                    name,
                    row.get::<_, Vec<u8>>(5)?,
                    row.get::<_, String>(6)?,
                    row.get::<_, Option<i64>>(7)?.is_some(),
                )),
                None => None,
            };
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, Sha>(3)?.0, used))
        })
        .optional()?;
    let Some((token, image, expires, digest, used)) = found else {
        return Err(Problem::new(Code::TokenUnknown, "this POS issued no such token; `kiln deploy` issues one"));
    };
    match used {
        Some((_, _, _, true)) => {
            return Err(Problem::new(Code::Revoked, "the instance that used this token was revoked"));
        }
        Some((name, there, certificate, false)) if there == input.key => {
            return Ok(Enrolled { name, image: digest, certificate, new: false });
        }
        Some(_) => {
            let detail = "a token enrols one machine; if that was not yours, revoke it, and issue a new token";
            return Err(Problem::new(Code::TokenUsed, detail));
        }
        None if expires < input.now => {
            return Err(Problem::new(Code::TokenExpired, "issue a new token by `kiln deploy`"));
        }
        None => {}
    }
    let issued = certify(&input.name)?;
    let sql = "INSERT INTO instances(name, image, key, certificate, facts, boot, enrolled, last_seen) VALUES (?1,?2,?3,?4,?5,?6,?7,?7)";
    conn.prepare_cached(sql)?.execute(params![
        input.name,
        image,
        input.key,
        issued.pem,
        to_store(&input.facts)?,
        input.facts.boot_id,
        input.now
    ])?;
    let row = conn.last_insert_rowid();
    register_instance(conn, row, issued.fingerprint, input.now, issued.expires)?;
    conn.prepare_cached("UPDATE tokens SET instance = ?2 WHERE id = ?1")?.execute([token, row])?;
    // What the whole image was assigned holds for those that come later.
    let sql = "SELECT policy_name, assigned_serial FROM images WHERE id = ?1 AND assigned_serial > baked_serial";
    let standing: Option<(String, i64)> =
        conn.prepare_cached(sql)?.query_row([image], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    if let Some((policy, serial)) = standing {
        assign_one(conn, row, &policy, serial, key, input.now)?;
    }
    Ok(Enrolled { name: input.name.clone(), image: digest, certificate: issued.pem, new: true })
}

/// Records a new certificate of an enrolled instance.
///
/// # Errors
/// Where the database fails.
pub fn renew(conn: &Connection, instance: i64, issued: &Issued, now: i64) -> Result<(), Problem> {
    conn.prepare_cached("DELETE FROM certificates WHERE instance = ?1 AND expires < ?2")?.execute([instance, now])?;
    let sql = "SELECT count(*) FROM certificates WHERE instance = ?1";
    let there: i64 = conn.prepare_cached(sql)?.query_row([instance], |row| row.get(0))?;
    if there >= 16 {
        return Err(Problem::new(Code::TooMany, "16 certificates of this instance are valid; one must expire first"));
    }
    register_instance(conn, instance, issued.fingerprint, now, issued.expires)
}

/// Revokes an instance for good; the first reason stands.
///
/// # Errors
/// `not-found`.
pub fn revoke(conn: &Connection, name: &str, reason: &str, now: i64) -> Result<InstanceView, Problem> {
    let row = instance_row(conn, name)?;
    let sql = "UPDATE instances SET revoked = ?2, revoke_reason = ?3 WHERE id = ?1 AND revoked IS NULL";
    conn.prepare_cached(sql)?.execute(params![row, now, reason])?;
    instance_by_row(conn, row)
}

/// The row of an id.
pub fn instance_row(conn: &Connection, name: &str) -> Result<i64, Problem> {
    let found = conn
        .prepare_cached("SELECT id FROM instances WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let shown: String = name.chars().take(64).collect();
    found.ok_or_else(|| Problem::new(Code::NotFound, format!("no instance `{shown}`; GET /v1/instances lists them")))
}

/// One instance.
///
/// # Errors
/// `not-found`.
pub fn instance_view(conn: &Connection, name: &str) -> Result<InstanceView, Problem> {
    let row = instance_row(conn, name)?;
    instance_by_row(conn, row)
}

/// Records when instances were last heard of, and the boot of one that opened a stream.
///
/// # Errors
/// Where the database fails.
pub fn touch(conn: &Connection, seen: &[(i64, i64)], boot: Option<(i64, &str)>) -> Result<(), Problem> {
    let mut query = conn.prepare_cached("UPDATE instances SET last_seen = max(last_seen, ?2) WHERE id = ?1")?;
    for (instance, at) in seen {
        query.execute([instance, at])?;
    }
    if let Some((instance, boot)) = boot {
        conn.prepare_cached("UPDATE instances SET boot = ?2 WHERE id = ?1")?.execute(params![instance, boot])?;
    }
    Ok(())
}
