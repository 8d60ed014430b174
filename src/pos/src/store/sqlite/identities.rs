//! Whom a client certificate stands for.

use kiln_base::model::Digest;
use rusqlite::{Connection, OptionalExtension, params};

use super::sql::Sha;
use crate::pki::Issued;
use crate::store::{Identity, OperatorCertificate, StoreError};

/// Who bears the certificate with this SHA-256 of its DER.
pub fn identity_of(conn: &Connection, fingerprint: Digest, now: i64) -> Result<Identity, StoreError> {
    let sql = "SELECT c.operator, c.expires, i.name, i.revoked FROM certificates c
        LEFT JOIN instances i ON i.id = c.instance WHERE c.fingerprint = ?1";
    type Found = (Option<String>, i64, Option<String>, Option<i64>);
    let found: Option<Found> = conn
        .prepare_cached(sql)?
        .query_row([Sha(fingerprint)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    match found {
        // The handshake checked the dates too, but a long stream of requests may outlive them.
        Some((_, expires, ..)) if expires < now => Err(StoreError::ExpiredCertificate),
        Some((.., Some(_))) => Err(StoreError::Revoked),
        Some((Some(operator), ..)) => Ok(Identity::Operator(operator)),
        Some((None, _, Some(name), None)) => Ok(Identity::Instance(name.into())),
        _ => Err(StoreError::UnknownCertificate),
    }
}

/// Records an operator's certificate; the same again is not an error.
pub fn record_operator(conn: &Connection, certificate: &OperatorCertificate) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO certificates(fingerprint, operator, issued, expires) VALUES (?1,?2,?3,?4) ON CONFLICT DO NOTHING";
    let OperatorCertificate { name, fingerprint, issued, expires } = certificate;
    conn.execute(sql, params![Sha(*fingerprint), name, issued, expires])?;
    Ok(())
}

/// Records an instance's certificate.
pub fn record_instance(conn: &Connection, instance: i64, issued: &Issued, now: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO certificates(fingerprint, instance, issued, expires) VALUES (?1, ?2, ?3, ?4)";
    conn.prepare_cached(sql)?.execute(params![Sha(issued.fingerprint), instance, now, issued.expires])?;
    Ok(())
}
