//! Registered images.

use kiln_base::bundle::PublicKey;
use kiln_base::model::Digest;
use kiln_base::wire::{Code, ImageView, Page, RegisterImage};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::PageRequest;
use super::sql::{Sha, check_text, time, uint};
use super::versions::{insert_version, open_statement};
use crate::problem::Problem;

/// Most policy keys of an image.
const MAX_KEYS: usize = 16;

/// What the store needs of an image.
pub struct ImageRow {
    pub id: i64,
    pub policy_name: String,
    pub baked_serial: i64,
    pub assigned_serial: Option<i64>,
}

/// An image by digest.
pub fn image_row(conn: &Connection, image: Digest) -> Result<ImageRow, Problem> {
    find(conn, image)?.ok_or_else(|| missing(image))
}

fn missing(image: Digest) -> Problem {
    Problem::new(Code::NotFound, format!("image {image} is not registered; `kiln deploy` registers one"))
}

fn find(conn: &Connection, image: Digest) -> Result<Option<ImageRow>, Problem> {
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

fn key_texts(conn: &Connection, image: i64) -> Result<Vec<String>, Problem> {
    let mut query = conn.prepare_cached("SELECT pem FROM image_keys WHERE image = ?1 ORDER BY pem")?;
    let texts = query.query_map([image], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(texts)
}

/// The policy keys of an image.
pub fn image_keys(conn: &Connection, image: i64) -> Result<Vec<PublicKey>, Problem> {
    key_texts(conn, image)?.iter().map(|pem| PublicKey::from_pem(pem).map_err(Problem::internal)).collect()
}

/// Whether a registration was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// The image was not known.
    New,
    /// It was, with the same content.
    Same,
}

/// Registers an image with its baked policy.
///
/// # Errors
/// `bad-key`, `bad-signature`, `bad-statement`, `no-tables`, `serial-reused`, `image-differs`, `out-of-range`.
pub fn register_image(
    conn: &Connection,
    request: &RegisterImage,
    now: i64,
) -> Result<(ImageView, Registration), Problem> {
    check_text("name", &request.name, 256)?;
    if request.policy_keys.is_empty() || request.policy_keys.len() > MAX_KEYS {
        return Err(Problem::new(Code::BadKey, format!("an image has 1 to {MAX_KEYS} policy keys")));
    }
    let mut keys = Vec::new();
    for pem in &request.policy_keys {
        keys.push(PublicKey::from_pem(pem).map_err(|e| Problem::new(Code::BadKey, e.to_string()))?);
    }
    // Stored in the one form that this program writes, so that the same key is the same text.
    let mut texts: Vec<String> = keys.iter().map(PublicKey::to_pem).collect();
    texts.sort();
    texts.dedup();
    let statement = open_statement(&request.statement, keys)?;
    if let Some(there) = find(conn, request.image)? {
        let view = image_view(conn, request.image)?;
        let same = view.name == request.name
            && view.bundle == request.bundle
            && view.baked_tables == statement.tables
            && (view.policy_name.as_str(), view.baked_serial) == (statement.name.as_str(), statement.serial)
            && key_texts(conn, there.id)? == texts;
        return match same {
            true => Ok((view, Registration::Same)),
            false => Err(Problem::new(
                Code::ImageDiffers,
                format!(
                    "image {} is registered with another name, bundle, policy or keys; a changed image has another digest",
                    request.image
                ),
            )),
        };
    }
    insert_version(conn, &statement, &request.statement, true, now)?;
    let sql =
        "INSERT INTO images(digest, name, bundle, policy_name, baked_serial, registered) VALUES (?1,?2,?3,?4,?5,?6)";
    conn.prepare_cached(sql)?.execute(params![
        Sha(request.image),
        request.name,
        request.bundle.map(Sha),
        statement.name,
        super::sql::int("serial", statement.serial)?,
        now
    ])?;
    let id = conn.last_insert_rowid();
    for text in texts {
        conn.prepare_cached("INSERT INTO image_keys(image, pem) VALUES (?1, ?2)")?.execute(params![id, text])?;
    }
    Ok((image_view(conn, request.image)?, Registration::New))
}

const VIEW: &str = "SELECT m.id AS cursor, m.*, v.tables AS baked_tables,
    (SELECT count(*) FROM instances i WHERE i.image = m.id) AS instances
    FROM images m JOIN versions v ON v.name = m.policy_name AND v.serial = m.baked_serial";

fn view(row: &Row<'_>) -> rusqlite::Result<ImageView> {
    Ok(ImageView {
        image: row.get::<_, Sha>("digest")?.0,
        name: row.get("name")?,
        bundle: row.get::<_, Option<Sha>>("bundle")?.map(|sha| sha.0),
        policy_name: row.get("policy_name")?,
        baked_serial: uint(row, "baked_serial")?,
        baked_tables: row.get::<_, Sha>("baked_tables")?.0,
        assigned_serial: row.get::<_, Option<i64>>("assigned_serial")?.map(|n| n.max(0) as u64),
        policy_keys: Vec::new(),
        instances: uint(row, "instances")?,
        registered: time(row, "registered")?,
    })
}

fn with_keys(conn: &Connection, mut view: ImageView) -> Result<ImageView, Problem> {
    let row = image_row(conn, view.image)?;
    view.policy_keys = image_keys(conn, row.id)?.iter().map(PublicKey::key_id).collect();
    view.policy_keys.sort();
    Ok(view)
}

/// One image.
///
/// # Errors
/// `not-found`.
pub fn image_view(conn: &Connection, image: Digest) -> Result<ImageView, Problem> {
    let sql = format!("{VIEW} WHERE m.digest = ?1");
    let found = conn.prepare_cached(&sql)?.query_row([Sha(image)], view).optional()?;
    with_keys(conn, found.ok_or_else(|| missing(image))?)
}

/// Images in the order in which they came.
///
/// # Errors
/// Where the database fails.
pub fn list_images(conn: &Connection, page: PageRequest) -> Result<Page<ImageView>, Problem> {
    let sql = format!("{VIEW} WHERE m.id > ?1 ORDER BY m.id LIMIT ?2");
    let mut found = page.collect(conn, &sql, params![page.after, page.limit_and_one()], view)?;
    found.items = found.items.into_iter().map(|v| with_keys(conn, v)).collect::<Result<_, _>>()?;
    Ok(found)
}
