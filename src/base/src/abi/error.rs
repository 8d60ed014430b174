//! Why a file is not good tables.

use super::layout;

/// Version of the file format.
pub(super) const VERSION: u32 = 1;

/// A file that is not good tables.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// Another kind of file.
    #[error("this is not a Kiln tables file; compile one with `kiln compile`")]
    Magic,
    /// Made by another release.
    #[error("the tables have format version {0} and this program reads version {VERSION}; compile the policy again")]
    Version(u32),
    /// Made for other kernel programs.
    #[error(
        "the tables are for kernel programs of version {0} and these are version {version}; compile the policy again",
        version = layout::ABI_VERSION
    )]
    AbiVersion(u32),
    /// Too short, too long, or too large.
    #[error("the tables file has {have} bytes where its prefix asks for {want}; copy or compile it again")]
    Length {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        want: usize,
    },
    /// More than the kernel programs can hold.
    #[error("the {part} has {have} bytes and at most {most} are possible; split the policy")]
    TooLarge {
        /// Kernel part or metadata.
        part: &'static str,
        /// Bytes there are.
        have: usize,
        /// Most that are possible.
        most: usize,
    },
    /// Bytes were changed.
    #[error("the tables file is damaged: its checksum does not match; copy or compile it again")]
    Checksum,
    /// The metadata cannot be read.
    #[error("the metadata of the tables is not understood: {0}; compile the policy again")]
    Metadata(String),
    /// The metadata says something else than the kernel part does.
    #[error("the parts of the tables do not agree: {0}; compile the policy again")]
    Mismatch(String),
    /// A number points out of its part.
    #[error("the tables are malformed: {what} {number} is out of bounds; compile the policy again")]
    Bounds {
        /// What.
        what: &'static str,
        /// The number.
        number: u64,
    },
}

/// A check on a number of the tables.
pub(super) fn ensure(good: bool, what: &'static str, number: impl Into<u64>) -> Result<(), TablesError> {
    if good { Ok(()) } else { Err(TablesError::Bounds { what, number: number.into() }) }
}
