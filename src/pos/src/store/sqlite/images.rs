//! Registered images.

use kiln_base::bundle::PublicKey;
use kiln_base::model::Digest;
use kiln_base::wire::{ImageView, Page, RegisterImage};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{find_image, image_keys, image_row, key_texts};
use super::sql::{Sha, int, limit_and_one, page_of, time, uint};
use super::versions::insert_version;
use crate::check;
use crate::store::rules::{self, open_statement};
use crate::store::{PageRequest, StoreError};

/// Registers an image with its baked policy; says whether it is new.
pub fn register_image(conn: &Connection, request: &RegisterImage, now: i64) -> Result<(ImageView, bool), StoreError> {
    check::text("name", &request.name, 256)?;
    let (keys, texts) = rules::image_keys(&request.policy_keys)?;
    let statement = open_statement(&request.statement, keys)?;
    if let Some(there) = find_image(conn, request.image)? {
        let view = image_view(conn, request.image)?;
        let same = view.name == request.name
            && view.bundle == request.bundle
            && view.baked_tables == statement.tables
            && (view.policy_name.as_str(), view.baked_serial) == (statement.name.as_str(), statement.serial)
            && key_texts(conn, there.id)? == texts;
        return if same { Ok((view, false)) } else { Err(StoreError::ImageDiffers(request.image)) };
    }
    insert_version(conn, &statement, &request.statement, true, now)?;
    let sql =
        "INSERT INTO images(digest, name, bundle, policy_name, baked_serial, registered) VALUES (?1,?2,?3,?4,?5,?6)";
    conn.prepare_cached(sql)?.execute(params![
        Sha(request.image),
        request.name,
        request.bundle.map(Sha),
        statement.name,
        int("serial", statement.serial)?,
        now
    ])?;
    let id = conn.last_insert_rowid();
    for text in texts {
        conn.prepare_cached("INSERT INTO image_keys(image, pem) VALUES (?1, ?2)")?.execute(params![id, text])?;
    }
    Ok((image_view(conn, request.image)?, true))
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

fn with_keys(conn: &Connection, mut view: ImageView) -> Result<ImageView, StoreError> {
    let row = image_row(conn, view.image)?;
    view.policy_keys = image_keys(conn, row.id)?.iter().map(PublicKey::key_id).collect();
    view.policy_keys.sort();
    Ok(view)
}

/// One image.
pub fn image_view(conn: &Connection, image: Digest) -> Result<ImageView, StoreError> {
    let sql = format!("{VIEW} WHERE m.digest = ?1");
    let found = conn.prepare_cached(&sql)?.query_row([Sha(image)], view).optional()?;
    with_keys(conn, found.ok_or(StoreError::NoImage(image))?)
}

/// Images in the order in which they came.
pub fn list_images(conn: &Connection, page: PageRequest) -> Result<Page<ImageView>, StoreError> {
    let sql = format!("{VIEW} WHERE m.id > ?1 ORDER BY m.id LIMIT ?2");
    let mut found = page_of(conn, page, &sql, params![page.after, limit_and_one(page)], view)?;
    found.items = found.items.into_iter().map(|v| with_keys(conn, v)).collect::<Result<_, _>>()?;
    Ok(found)
}
