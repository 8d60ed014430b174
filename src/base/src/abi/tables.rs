//! The tables file, `KILNTAB1`. All integers are little-endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `KILNTAB1` |
//! | 8 | 4 | version of the file format, 1 |
//! | 12 | 4 | bytes of the kernel part, K |
//! | 16 | 4 | bytes of the metadata, M |
//! | 20 | 4 | zero |
//! | 24 | K | kernel part: `struct kiln_header` and its words |
//! | 24+K | M | metadata: JSON |
//! | 24+K+M | 32 | SHA-256 of all before |
//!
//! The checksum tells damage, not forgery; who made a tables file is told by its signature.

use super::check;
use super::error::{TablesError, VERSION};
use super::kernel::{HEADER_BYTES, Kernel};
use super::layout::USABLE_WORDS;
use super::metadata::Metadata;
use crate::model::Digest;

const MAGIC: &[u8; 8] = b"KILNTAB1";
const PREFIX: usize = 24;
const CHECKSUM: usize = 32;
/// Most bytes of a kernel part: what one map value holds.
pub const MAX_KERNEL: usize = HEADER_BYTES + USABLE_WORDS * 8;
/// Most bytes of metadata.
pub const MAX_METADATA: usize = 32 << 20;
/// Most bytes of a tables file. Who reads one need not read further.
pub const MAX_FILE: usize = PREFIX + MAX_KERNEL + MAX_METADATA + CHECKSUM;

/// A tables file in memory, checked.
#[derive(Clone)]
pub struct Tables {
    /// The kernel part.
    pub kernel: Kernel,
    /// What its numbers mean.
    pub metadata: Metadata,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tables {{ words: {}, metadata: {:?} }}", self.kernel.words.len(), self.metadata)
    }
}

impl Tables {
    /// From parts; checked as a file is.
    pub fn new(kernel: Kernel, metadata: Metadata) -> Result<Tables, TablesError> {
        check::check(&kernel, &metadata)?;
        Ok(Tables { kernel, metadata })
    }

    /// The bytes of the file: the same for the same tables.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TablesError> {
        let kernel = self.kernel.to_bytes();
        let metadata = serde_json::to_vec(&self.metadata).map_err(|e| TablesError::Metadata(e.to_string()))?;
        let mut out = Vec::with_capacity(PREFIX + kernel.len() + metadata.len() + CHECKSUM);
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(part("kernel part", kernel.len(), MAX_KERNEL)?.to_le_bytes());
        out.extend(part("metadata", metadata.len(), MAX_METADATA)?.to_le_bytes());
        out.extend([0; 4]);
        out.extend(kernel);
        out.extend(metadata);
        let sum = Digest::of(&out);
        out.extend(sum.as_bytes());
        Ok(out)
    }

    /// Reads a file. Whatever the bytes are, the result is checked tables or an error, in time and memory
    /// proportional to their length.
    pub fn read(bytes: &[u8]) -> Result<Tables, TablesError> {
        let have = bytes.len();
        if !bytes.starts_with(MAGIC) {
            return Err(TablesError::Magic);
        }
        let short = TablesError::Length { have, want: PREFIX + HEADER_BYTES + CHECKSUM };
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (Some(version), Some(k), Some(m), Some(zero)) = (number(8), number(12), number(16), number(20)) else {
            return Err(short);
        };
        if version != VERSION {
            return Err(TablesError::Version(version));
        }
        let (k, m) = (k as usize, m as usize);
        part("kernel part", k, MAX_KERNEL)?;
        part("metadata", m, MAX_METADATA)?;
        let want = PREFIX + k + m + CHECKSUM;
        if have != want || k < HEADER_BYTES {
            return Err(TablesError::Length { have, want });
        }
        let (body, sum) = bytes.split_at(have - CHECKSUM);
        if Digest::of(body).as_bytes() != sum {
            return Err(TablesError::Checksum);
        }
        if zero != 0 {
            return Err(TablesError::Bounds { what: "a reserved field", number: zero.into() });
        }
        let (kernel, metadata) = body[PREFIX..].split_at(k);
        let metadata = serde_json::from_slice(metadata).map_err(|e| TablesError::Metadata(e.to_string()))?;
        let kernel = Kernel::from_bytes(kernel).ok_or(short)?;
        Tables::new(kernel, metadata)
    }

    /// The digest of the whole file, by which signatures and assignments name it.
    pub fn digest(bytes: &[u8]) -> Digest {
        Digest::of(bytes)
    }
}

fn part(part: &'static str, have: usize, most: usize) -> Result<u32, TablesError> {
    let fits = u32::try_from(have).ok().filter(|_| have <= most);
    fits.ok_or(TablesError::TooLarge { part, have, most })
}
