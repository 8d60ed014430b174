//! The memory as bytes, and back. Reading and writing files is the caller's.
//!
//! Layout, integers little-endian: `KILNGATE2` · `u64` entries · `u64` names · the habits (65,536 bytes) · entries of
//! 47 bytes (key, load, last, acted, action, classes, kinds), by key · names (key, `u16` length, text), by key · SHA-256 of all before.

use std::io::Write;

use sha2::{Digest, Sha256};

use super::kinds::Kinds;
use super::memory::{Entry, Memory, NAMED};
use crate::engine::Action;

const MAGIC: &[u8; 9] = b"KILNGATE2";
const ENTRY: usize = 16 + 4 + 4 + 4 + 1 + 2 + 16;

/// Saved state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not saved by this gate.
    #[error("this is not a state of this gate (it does not begin with KILNGATE2); remove the file to start anew")]
    Foreign,
    /// Cut short or changed.
    #[error("the state is damaged: {0}; remove the file to start anew")]
    Damaged(&'static str),
}

const ACTIONS: [Action; 5] = [Action::Allow, Action::Throttle, Action::Quarantine, Action::Honeypot, Action::Kill];

impl Memory {
    /// Writes the state to `out`.
    ///
    /// # Errors
    /// The writer's.
    pub fn save(&self, out: &mut impl Write) -> std::io::Result<()> {
        let mut out = Hashing { out, digest: Sha256::new() };
        out.write_all(MAGIC)?;
        out.write_all(&(self.entries.len() as u64).to_le_bytes())?;
        out.write_all(&(self.names.len() as u64).to_le_bytes())?;
        out.write_all(&self.habits)?;
        let mut keys: Vec<u128> = self.entries.keys().copied().collect();
        keys.sort_unstable();
        for key in &keys {
            let Some(entry) = self.entries.get(key) else { continue };
            let mut record = [0; ENTRY];
            record[..16].copy_from_slice(&key.to_le_bytes());
            record[16..20].copy_from_slice(&entry.load.to_le_bytes());
            record[20..24].copy_from_slice(&entry.last.to_le_bytes());
            record[24..28].copy_from_slice(&entry.acted.to_le_bytes());
            record[28] = ACTIONS.iter().position(|action| *action == entry.action).unwrap_or(0) as u8;
            record[29..31].copy_from_slice(&entry.classes.to_le_bytes());
            record[31..].copy_from_slice(&entry.kinds.0.to_le_bytes());
            out.write_all(&record)?;
        }
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_unstable();
        for (key, name) in names {
            out.write_all(&key.to_le_bytes())?;
            // Keys are at most 513 bytes.
            out.write_all(&(name.len() as u16).to_le_bytes())?;
            out.write_all(name.as_bytes())?;
        }
        let digest = out.digest.finalize();
        out.out.write_all(&digest)
    }

    /// Reads what [`Memory::save`] wrote. More entries than the capacity holds are cut to the most dangerous ones at the
    /// next event.
    ///
    /// # Errors
    /// The bytes are not such a state, whole and unchanged.
    pub fn load_state(bytes: &[u8], capacity: usize) -> Result<Memory, StateError> {
        if !bytes.starts_with(MAGIC) {
            return Err(StateError::Foreign);
        }
        let body = bytes.len().checked_sub(32).ok_or(StateError::Damaged("it is cut short"))?;
        if Sha256::digest(&bytes[..body]).as_slice() != &bytes[body..] {
            return Err(StateError::Damaged("its digest does not match"));
        }
        let mut rest = Rest(&bytes[MAGIC.len()..body]);
        let (entries, names) = (rest.number()?, rest.number()?);
        let mut memory = Memory::with_capacity(capacity);
        memory.habits.copy_from_slice(rest.take(1 << 16)?);
        if entries > (rest.0.len() / ENTRY) as u64 || names > NAMED as u64 {
            return Err(StateError::Damaged("its counts are larger than it is"));
        }
        for _ in 0..entries {
            let record = rest.take(ENTRY)?;
            let four = |at: usize| -> [u8; 4] { record[at..at + 4].try_into().unwrap_or_default() };
            let load = f32::from_le_bytes(four(16));
            let action = ACTIONS.get(usize::from(record[28])).ok_or(StateError::Damaged("an action is unknown"))?;
            if !(0.0..=1.0).contains(&load) {
                return Err(StateError::Damaged("a load is not between 0 and 1"));
            }
            let key = u128::from_le_bytes(record[..16].try_into().unwrap_or_default());
            let entry = Entry {
                load,
                last: u32::from_le_bytes(four(20)),
                acted: u32::from_le_bytes(four(24)),
                action: *action,
                classes: u16::from_le_bytes(record[29..31].try_into().unwrap_or_default()),
                kinds: Kinds(u128::from_le_bytes(record[31..].try_into().unwrap_or_default())),
            };
            memory.entries.insert(key, entry);
        }
        for _ in 0..names {
            let key = u128::from_le_bytes(rest.take(16)?.try_into().unwrap_or_default());
            let length = u16::from_le_bytes(rest.take(2)?.try_into().unwrap_or_default());
            let name = String::from_utf8_lossy(rest.take(usize::from(length))?).into();
            memory.names.insert(key, name);
        }
        Ok(memory)
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(StateError::Damaged("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default()))
    }
}

struct Hashing<'w, W> {
    out: &'w mut W,
    digest: Sha256,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
