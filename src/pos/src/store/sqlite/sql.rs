//! Between SQLite's values and ours.

use kiln_base::model::Digest;
use kiln_base::wire::Code;
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::problem::Problem;

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
pub fn int(name: &str, value: u64) -> Result<i64, Problem> {
    match i64::try_from(value) {
        Ok(n) if n < 1 << 53 => Ok(n),
        _ => Err(Problem::new(Code::OutOfRange, format!("`{name}` is {value}; it must stay below 2^53"))),
    }
}

/// A number that was stored by [`int`].
pub fn uint(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0) as u64)
}

/// A time for the wire.
pub fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<String> {
    Ok(crate::clock::text(row.get(column)?))
}

/// JSON that this program stored.
pub fn stored<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|e| Problem::internal(format!("stored JSON does not parse: {e}")))
}

/// JSON to store.
pub fn to_store<T: serde::Serialize>(value: &T) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(Problem::internal)
}

/// A text for people: 1 to `max` bytes without control characters.
pub fn check_text(name: &str, text: &str, max: usize) -> Result<(), Problem> {
    if text.is_empty() || text.len() > max || text.chars().any(char::is_control) {
        let detail = format!("`{name}` must have 1 to {max} bytes and no control characters");
        return Err(Problem::new(Code::OutOfRange, detail));
    }
    Ok(())
}
