//! Whom a client certificate stands for.

use kiln_base::model::Digest;
use kiln_base::wire::Code;
use rusqlite::{Connection, OptionalExtension, params};

use super::sql::Sha;
use crate::problem::Problem;

/// The bearer of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A person or pipeline.
    Operator(String),
    /// A machine.
    Instance {
        /// Its row.
        row: i64,
        /// `i-…`.
        name: String,
    },
}

/// Who bears the certificate with this SHA-256 of its DER.
///
/// # Errors
/// `no-certificate` for one that this POS did not record, `revoked` for a revoked instance's.
pub fn identity_of(conn: &Connection, fingerprint: Digest, now: i64) -> Result<Identity, Problem> {
    let sql = "SELECT c.operator, c.expires, i.id, i.name, i.revoked FROM certificates c
        LEFT JOIN instances i ON i.id = c.instance WHERE c.fingerprint = ?1";
    type Found = (Option<String>, i64, Option<i64>, Option<String>, Option<i64>);
    let found: Option<Found> = conn
        .prepare_cached(sql)?
        .query_row([Sha(fingerprint)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    match found {
        // The handshake checked the dates too, but a long stream of requests may outlive them.
        Some((_, expires, ..)) if expires < now => {
            Err(Problem::new(Code::NoCertificate, "the client certificate has expired"))
        }
        Some((.., Some(_))) => {
            Err(Problem::new(Code::Revoked, "this instance was revoked; enrol anew with a new join token"))
        }
        Some((Some(operator), ..)) => Ok(Identity::Operator(operator)),
        Some((None, _, Some(row), Some(name), None)) => Ok(Identity::Instance { row, name }),
        _ => Err(Problem::new(Code::NoCertificate, "the client certificate is not on record here")),
    }
}

/// Records an operator's certificate; the same again is not an error.
///
/// # Errors
/// Where the database fails.
pub fn register_operator(
    conn: &Connection,
    name: &str,
    fingerprint: Digest,
    issued: i64,
    expires: i64,
) -> Result<(), Problem> {
    let sql =
        "INSERT INTO certificates(fingerprint, operator, issued, expires) VALUES (?1,?2,?3,?4) ON CONFLICT DO NOTHING";
    conn.execute(sql, params![Sha(fingerprint), name, issued, expires])?;
    Ok(())
}

/// Records an instance's certificate.
pub fn register_instance(
    conn: &Connection,
    instance: i64,
    fingerprint: Digest,
    issued: i64,
    expires: i64,
) -> Result<(), Problem> {
    let sql = "INSERT INTO certificates(fingerprint, instance, issued, expires) VALUES (?1, ?2, ?3, ?4)";
    conn.prepare_cached(sql)?.execute(params![Sha(fingerprint), instance, issued, expires])?;
    Ok(())
}
