//! What a policy names and an image does not have, before anything is signed or written.

use std::path::Path;

use kiln_base::abi::metadata::ImageInfo;
use kiln_base::abi::{Tables, TablesError};
use kiln_lang::compile;
use kiln_lang::pdl::{NoFiles, Source};
use kiln_lang::policy;

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
    /// Nor can their policy.
    #[error(transparent)]
    Policy(#[from] TablesError),
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
    let mut missing = bake::missing(&*image, &units, &selector::programs(tables)?)?;
    missing.extend(absent(tables)?);
    Ok(missing)
}

/// The selectors by which lines of the tables' policy bind nothing in the image that it was compiled for.
///
/// # Errors
/// Where the tables or their policy cannot be read.
pub(super) fn absent(tables: &[u8]) -> Result<Vec<String>, TablesError> {
    let metadata = Tables::read(tables)?.metadata;
    let Some(image) = &metadata.image else { return Ok(Vec::new()) };
    let policy = policy::load(&[Source::new("policy.pdl", &metadata.source)], &NoFiles);
    let policy = policy.map_err(|_| TablesError::Mismatch("their text is not a policy".to_owned()))?;
    Ok(compile::absent(&policy, image))
}

/// What an image says of itself, which `label` and `image` ask for.
///
/// # Errors
/// Where the image cannot be read, or what it says makes no sense.
pub fn about(target: &Path, partition: Option<u32>) -> Result<ImageInfo, BakeError> {
    bake::info(&*bake::open(target, partition)?)
}
