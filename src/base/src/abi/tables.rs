//! The tables file, `KILNTAB1`. All integers are little-endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `KILNTAB1` |
//! | 8 | 4 | version of the file format, 1 |
//! | 12 | 4 | bytes of the kernel part, K |
//! | 16 | 4 | bytes of the metadata, M |
//! | 20 | 4 | bytes of the tables for other hosts, H |
//! | 24 | K | kernel part: `struct kiln_header` and its words |
//! | 24+K | M | metadata: JSON |
//! | 24+K+M | H | tables files for other hosts, each behind its length in 4 bytes |
//! | 24+K+M+H | 32 | SHA-256 of all before |
//!
//! The checksum tells damage, not forgery; who made a tables file is told by its signature.

use super::error::{TablesError, VERSION};
use super::hosts::MAX_HOSTS;
use super::kernel::{HEADER_BYTES, Kernel};
use super::layout::USABLE_WORDS;
use super::metadata::Metadata;
use super::{check, within};
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
    /// Those for hosts whose names patterns of the policy match.
    pub others: Vec<Tables>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tables {{ words: {}, metadata: {:?} }}", self.kernel.words.len(), self.metadata)
    }
}

impl Tables {
    /// From parts; checked as a file is.
    pub fn new(kernel: Kernel, metadata: Metadata) -> Result<Tables, TablesError> {
        Tables::with(kernel, metadata, Vec::new())
    }

    /// The same with those for other hosts.
    ///
    /// # Errors
    /// Where a file of them would not be read.
    pub fn with(kernel: Kernel, metadata: Metadata, others: Vec<Tables>) -> Result<Tables, TablesError> {
        check::check(&kernel, &metadata)?;
        let tables = Tables { kernel, metadata, others };
        let others: Vec<&Metadata> = tables.others.iter().map(|other| &other.metadata).collect();
        within::check(&tables.metadata, &others)?;
        Ok(tables)
    }

    /// The tables of a machine with this host name.
    pub fn on_host(mut self, name: &[u8]) -> Tables {
        let Some(hosts) = self.metadata.hosts.take() else { return self };
        let mut others = std::mem::take(&mut self.others);
        match (hosts.find(name) as usize).checked_sub(1).filter(|n| *n < others.len()) {
            Some(n) => others.swap_remove(n),
            None => self,
        }
    }

    /// All that a machine can have: the first, and those within.
    pub fn all(&self) -> impl Iterator<Item = &Tables> {
        std::iter::once(self).chain(&self.others)
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
        let mut others = Vec::new();
        for other in &self.others {
            let file = other.to_bytes()?;
            others.extend(part("tables for a host", file.len(), MAX_FILE)?.to_le_bytes());
            others.extend(file);
        }
        let rest = MAX_FILE.saturating_sub(PREFIX + kernel.len() + metadata.len() + CHECKSUM);
        out.extend(part("tables for other hosts", others.len(), rest)?.to_le_bytes());
        out.extend(kernel);
        out.extend(metadata);
        out.extend(others);
        let sum = Digest::of(&out);
        out.extend(sum.as_bytes());
        Ok(out)
    }

    /// Reads a file. Whatever the bytes are, the result is checked tables or an error, in time and memory
    /// proportional to their length.
    pub fn read(bytes: &[u8]) -> Result<Tables, TablesError> {
        Tables::read_within(bytes, false)
    }

    fn read_within(bytes: &[u8], within: bool) -> Result<Tables, TablesError> {
        let have = bytes.len();
        if !bytes.starts_with(MAGIC) {
            return Err(TablesError::Magic);
        }
        let short = TablesError::Length { have, want: PREFIX + HEADER_BYTES + CHECKSUM };
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (Some(version), Some(k), Some(m), Some(h)) = (number(8), number(12), number(16), number(20)) else {
            return Err(short);
        };
        if version != VERSION {
            return Err(TablesError::Version(version));
        }
        let (k, m, h) = (k as usize, m as usize, h as usize);
        part("kernel part", k, MAX_KERNEL)?;
        part("metadata", m, MAX_METADATA)?;
        part("tables for other hosts", h, if within { 0 } else { MAX_FILE - PREFIX - CHECKSUM })?;
        let want = PREFIX + k + m + h + CHECKSUM;
        if have != want || k < HEADER_BYTES {
            return Err(TablesError::Length { have, want });
        }
        let (body, sum) = bytes.split_at(have - CHECKSUM);
        if Digest::of(body).as_bytes() != sum {
            return Err(TablesError::Checksum);
        }
        let (kernel, rest) = body[PREFIX..].split_at(k);
        let (metadata, mut rest) = rest.split_at(m);
        let metadata = serde_json::from_slice(metadata).map_err(|e| TablesError::Metadata(e.to_string()))?;
        let kernel = Kernel::from_bytes(kernel).ok_or(short)?;
        let mut others = Vec::new();
        while let Some((len, after)) = rest.split_first_chunk() {
            let len = u32::from_le_bytes(*len) as usize;
            let (file, after) =
                after.split_at_checked(len).ok_or(TablesError::Length { have: after.len(), want: len })?;
            if others.len() >= MAX_HOSTS {
                return Err(TablesError::TooLarge { part: "tables for other hosts", have: h, most: MAX_HOSTS });
            }
            others.push(Tables::read_within(file, true)?);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(TablesError::Length { have: rest.len(), want: 4 });
        }
        Tables::with(kernel, metadata, others)
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
