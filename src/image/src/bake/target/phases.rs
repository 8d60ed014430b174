//! The phases of a bake: each consumes the one before it, so that no target can be committed before it was written,
//! or twice.

use crate::bake::BakeError;
use crate::bake::image::{Change, Image};

/// An image that a bake reads: locked from here to the commit, or a copy that no other bake has.
pub trait Target {
    /// Its files, for the plan.
    fn image(&self) -> &dyn Image;

    /// Whether files can be given to the owners that the plan says. Where they cannot, owners are not compared.
    fn owners(&self) -> bool {
        true
    }

    /// What opening the image showed that the user should know.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Writes the changes where no reader of the image, and no reader of the output, looks. `changes` may be empty; then
    /// an output of its own is made all the same. `epoch` is the time of all that is written.
    ///
    /// # Errors
    /// The image is then as it was, and nothing is left beside it.
    fn write_aside(self: Box<Self>, changes: &[Change], epoch: i64) -> Result<Box<dyn Written>, BakeError>;
}

/// A baked image that is complete and not yet in its place. Dropping it undoes the bake.
#[must_use = "without a commit the bake is undone"]
pub trait Written {
    /// Puts it in its place.
    ///
    /// # Errors
    /// The image is then as it was.
    fn commit(self: Box<Self>) -> Result<(), BakeError>;
}
