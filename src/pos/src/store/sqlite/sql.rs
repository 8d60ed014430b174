//! Between SQLite's values and ours.

use kiln_base::model::Digest;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row};

use crate::check::{self, OutOfRange};
use crate::store::{Fault, PageRequest, StoreError};
use kiln_base::wire::Page;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Database(error.to_string())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        StoreError::Fault(error.into())
    }
}

/// A digest as 32 raw bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sha(pub Digest);

impl ToSql for Sha {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}
impl FromSql for Sha {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Sha> {
        let bytes = <[u8; 32]>::try_from(value.as_blob()?).map_err(|_| FromSqlError::InvalidType)?;
        Ok(Sha(Digest::from_bytes(bytes)))
    }
}

/// A number for SQLite, whose integers are signed; the wire stays below 2^53.
pub fn int(name: &'static str, value: u64) -> Result<i64, OutOfRange> {
    let value = check::number(name, value)?;
    i64::try_from(value).map_err(|_| OutOfRange::Number { name, value })
}

/// A number that was stored by [`int`].
pub fn unsigned(value: i64) -> u64 {
    value.max(0) as u64
}

/// A number that was stored by [`int`].
pub fn uint(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(unsigned(row.get(column)?))
}

/// A time for the wire.
pub fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<String> {
    Ok(crate::clock::text(row.get(column)?))
}

/// JSON that this program stored.
pub fn stored<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|e| Fault::Stored { what: "JSON", reason: e.to_string() })
}

/// JSON to store.
pub fn to_store<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|e| Fault::Stored { what: "JSON", reason: e.to_string() })
}

/// One more than asked tells whether there is a next page.
pub fn limit_and_one(page: PageRequest) -> i64 {
    page.limit + 1
}

/// Runs a query whose rows have a `cursor` column and which takes [`limit_and_one`] rows.
pub fn page_of<T>(
    conn: &Connection,
    page: PageRequest,
    sql: &str,
    params: impl Params,
    view: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Page<T>, StoreError> {
    let mut query = conn.prepare_cached(sql)?;
    let rows = query.query_map(params, |row| Ok((row.get::<_, i64>("cursor")?, view(row)?)))?;
    let mut found = rows.collect::<Result<Vec<_>, _>>()?;
    let more = found.len() as i64 > page.limit;
    found.truncate(usize::try_from(page.limit).unwrap_or(0));
    let next = found.last().filter(|_| more).map(|(cursor, _)| cursor.to_string());
    Ok(Page { items: found.into_iter().map(|(_, item)| item).collect(), next })
}
