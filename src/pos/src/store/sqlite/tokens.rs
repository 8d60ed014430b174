//! One-time join tokens; only their hashes are kept.

use rusqlite::{Connection, params};

use super::rows::image_row;
use super::sql::{Sha, unsigned};
use crate::store::{NewToken, StoreError};

/// Stores a token's hash; gives its number.
pub fn issue_token(conn: &Connection, token: &NewToken) -> Result<u64, StoreError> {
    let image = image_row(conn, token.image)?.id;
    let sql = "INSERT INTO tokens(hash, image, created, expires) VALUES (?1, ?2, ?3, ?4)";
    conn.prepare_cached(sql)?.execute(params![Sha(token.hash), image, token.created, token.expires])?;
    Ok(unsigned(conn.last_insert_rowid()))
}
