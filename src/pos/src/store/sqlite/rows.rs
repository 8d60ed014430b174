//! Rows that others name: images and instances.

use kiln_base::bundle::PublicKey;
use kiln_base::model::Digest;
use rusqlite::{Connection, OptionalExtension};

use super::sql::Sha;
use crate::store::{Fault, StoreError};

/// What the store needs of an image.
pub struct ImageRow {
    pub id: i64,
    pub policy_name: String,
    pub baked_serial: i64,
    pub assigned_serial: Option<i64>,
}

/// An image by digest.
pub fn image_row(conn: &Connection, image: Digest) -> Result<ImageRow, StoreError> {
    find_image(conn, image)?.ok_or(StoreError::NoImage(image))
}

pub(super) fn find_image(conn: &Connection, image: Digest) -> Result<Option<ImageRow>, StoreError> {
    let sql = "SELECT id, policy_name, baked_serial, assigned_serial FROM images WHERE digest = ?1";
    let row = conn.prepare_cached(sql)?.query_row([Sha(image)], |row| {
        Ok(ImageRow {
            id: row.get("id")?,
            policy_name: row.get("policy_name")?,
            baked_serial: row.get("baked_serial")?,
            assigned_serial: row.get("assigned_serial")?,
        })
    });
    Ok(row.optional()?)
}

pub(super) fn key_texts(conn: &Connection, image: i64) -> Result<Vec<String>, StoreError> {
    let mut query = conn.prepare_cached("SELECT pem FROM image_keys WHERE image = ?1 ORDER BY pem")?;
    let texts = query.query_map([image], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(texts)
}

/// The policy keys of an image.
pub fn image_keys(conn: &Connection, image: i64) -> Result<Vec<PublicKey>, StoreError> {
    let damaged = |e: kiln_base::bundle::KeyError| Fault::Stored { what: "a policy key", reason: e.to_string() };
    Ok(key_texts(conn, image)?.iter().map(|pem| PublicKey::from_pem(pem).map_err(damaged)).collect::<Result<_, _>>()?)
}

/// The row of an id.
pub fn instance_row(conn: &Connection, name: &str) -> Result<i64, StoreError> {
    let found = conn
        .prepare_cached("SELECT id FROM instances WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    found.ok_or_else(|| StoreError::NoInstance(name.to_owned()))
}
