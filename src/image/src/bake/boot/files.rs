//! Reads the files that a boot loader reads.

use crate::bake::BakeError;
use crate::bake::image::{Image, Kind};

pub(super) fn kind(image: &dyn Image, path: &str) -> Result<Option<Kind>, BakeError> {
    Ok(image.find(path)?.map(|f| f.kind))
}

/// The text of a file; `None` where there is none. A link or bytes that are not text are errors: editing would destroy
/// them, and leaving them out would leave the image unprotected.
pub(super) fn text(image: &dyn Image, path: &str) -> Result<Option<String>, BakeError> {
    match image.find(path) {
        Ok(None) => return Ok(None),
        Ok(Some(f)) if f.kind == Kind::File => {}
        Ok(Some(f)) if f.kind == Kind::Link => return Err(BakeError::Symlink(path.to_owned())),
        Ok(Some(_)) => return Ok(None),
        // A plain file where a directory was looked for: there is no such place.
        Err(BakeError::InTheWay { .. }) => return Ok(None),
        Err(e) => return Err(e),
    }
    let what = "not UTF-8 text, so the boot parameter cannot be added".to_owned();
    String::from_utf8(image.read(path)?).map(Some).map_err(|_| BakeError::Content { path: path.to_owned(), what })
}

pub(super) fn not_a_directory(error: BakeError) -> Result<Vec<String>, BakeError> {
    if matches!(error, BakeError::InTheWay { .. }) { Ok(Vec::new()) } else { Err(error) }
}
