//! One-time join tokens; only their hashes are kept.

use kiln_base::model::Digest;
use rusqlite::{Connection, params};

use super::images::image_row;
use super::sql::Sha;
use crate::problem::Problem;

/// Stores a token's hash; gives its number.
///
/// # Errors
/// `not-found` for an unknown image.
pub fn issue_token(conn: &Connection, image: Digest, hash: Digest, now: i64, expires: i64) -> Result<u64, Problem> {
    let image = image_row(conn, image)?.id;
    let sql = "INSERT INTO tokens(hash, image, created, expires) VALUES (?1, ?2, ?3, ?4)";
    conn.prepare_cached(sql)?.execute(params![Sha(hash), image, now, expires])?;
    Ok(conn.last_insert_rowid().max(0) as u64)
}
