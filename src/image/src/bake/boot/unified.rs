//! Unified kernel images: their command lines are judged, and never edited.

use super::cmdline::missing;
use super::efi::{self, Program};
use super::line::judged;
use crate::bake::BakeError;
use crate::bake::image::Image;

/// Looks at a unified kernel image with its addons. It is signed, and so is not edited: what is missing is an error. False
/// where it takes its command line from who starts it.
pub(super) fn unified(
    image: &dyn Image,
    file: &str,
    addons: &[String],
    default: Option<&[String]>,
) -> Result<bool, BakeError> {
    let held = |file: &str| -> Result<Vec<String>, BakeError> {
        Ok(match efi::program(image, file)? {
            Some(Program::Unified(lines)) => lines,
            _ => Vec::new(),
        })
    };
    let own = held(file)?;
    let mut more = String::new();
    for addon in addons {
        for line in held(addon)? {
            judged(addon, &line)?;
            more = format!("{more} {line}");
        }
    }
    for line in &own {
        if let Some(parameter) = missing(&judged(file, &format!("{line}{more}"))?, default) {
            let what = format!(
                "its command line lacks `{parameter}`, and Kiln does not edit a unified kernel image: make it again with \
                 that in its command line, or give it an addon"
            );
            return Err(BakeError::Content { path: file.to_owned(), what });
        }
    }
    Ok(!own.is_empty())
}
