//! What a policy names and an image does not have, before anything is signed or written.

use std::path::Path;

use super::selector::{self, Selector, SelectorError};
use crate::bake::{self, BakeError, UnitSelector};

/// An image or tables from which it cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum MissingError {
    /// The image cannot be read, or would be refused by a bake.
    #[error(transparent)]
    Image(#[from] BakeError),
    /// The tables cannot be read.
    #[error(transparent)]
    Tables(#[from] SelectorError),
}

/// The selectors of the tables that find nothing in the image: each text begins with the selector's pattern, and may say
/// in parentheses what is near to it.
///
/// # Errors
/// [`MissingError`].
pub fn missing(target: &Path, partition: Option<u32>, tables: &[u8]) -> Result<Vec<String>, MissingError> {
    let image = bake::open(target, partition)?;
    let selectors = Selector::all(tables)?;
    let units: Vec<&dyn UnitSelector> = selectors.iter().map(|s| s as &dyn UnitSelector).collect();
    Ok(bake::missing(&*image, &units, &selector::programs(tables)?)?)
}
