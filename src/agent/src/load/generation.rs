//! One generation: its map is made, filled, frozen and read back before anything refers to it.

use std::io;

use kiln_base::abi::kernel::HEADER_BYTES;
use kiln_base::abi::layout::{GENERATIONS, SLOTS, SUBJECTS, TABLES_BYTES};
use kiln_base::abi::{Kernel, Tables};
use kiln_base::model::Digest;
use zerocopy::IntoBytes;

use crate::bpf::map::{ANY, Map, map_name};
use crate::error::{AgentError, Result, Stage, Step, Unproven};
use crate::label::slots::Slots;

/// Bytes in front of the kernel part.
const FRONT: usize = (SLOTS + SUBJECTS) * 4;
/// BPF_MAP_TYPE_ARRAY of linux/bpf.h.
const ARRAY: u32 = 2;

/// A generation in the kernel.
#[derive(Debug)]
pub struct Built {
    /// Its index in the outer map.
    pub index: u32,
    /// SHA-256 of the kernel part, as read back.
    pub readback: Digest,
}

/// The value of the map.
fn value(kernel: &Kernel, slots: &Slots) -> Vec<u8> {
    let mut out = Vec::with_capacity(TABLES_BYTES);
    out.extend(slots.slot.as_bytes());
    out.extend(slots.label_of.as_bytes());
    out.extend(kernel.to_bytes());
    out.resize(TABLES_BYTES, 0);
    out
}

/// Builds a generation at a free index of the outer map.
///
/// # Errors
/// If the kernel has no memory, or what is read back is not what was written.
pub fn build(outer: &Map, index: u32, tables: &Tables, slots: &Slots) -> Result<Built> {
    let fail = |stage, e: io::Error| AgentError::kernel(Step::Build { stage, index }, e);
    if index >= GENERATIONS || slots.slot.len() != SLOTS || slots.label_of.len() != SUBJECTS {
        return Err(fail(Stage::LayOut, io::ErrorKind::InvalidInput.into()));
    }
    let mut buffer = value(&tables.kernel, slots);
    if buffer.len() != TABLES_BYTES {
        return Err(fail(Stage::LayOut, io::ErrorKind::InvalidInput.into()));
    }
    let used = FRONT + HEADER_BYTES + tables.kernel.words.len() * 8;
    let front = Digest::of(&buffer[..FRONT]);
    let inner = Map::create(ARRAY, &map_name("kiln_generation"), 4, TABLES_BYTES as u32, 1, 0)
        .map_err(|e| fail(Stage::Make, e))?;
    const ONLY: [u8; 4] = [0; 4];
    inner.set(&ONLY, &buffer, ANY).map_err(|e| fail(Stage::Fill, e))?;
    inner.freeze().map_err(|e| fail(Stage::Freeze, e))?;
    buffer.fill(0xff);
    inner.get_into(&ONLY, &mut buffer).map_err(|e| fail(Stage::ReadBack, e))?;
    let readback = Digest::of(&buffer[FRONT..used]);
    let whole = Digest::of(&tables.kernel.to_bytes()) == readback
        && Digest::of(&buffer[..FRONT]) == front
        && buffer[used..].iter().all(|b| *b == 0);
    if !whole {
        return Err(Unproven::Altered(index).into());
    }
    use std::os::fd::{AsFd, AsRawFd};
    let fd = inner.as_fd().as_raw_fd() as u32;
    outer.write(&index, &fd).map_err(|e| fail(Stage::Install, e))?;
    Ok(Built { index, readback })
}

/// SHA-256 of the kernel part of a generation that is in the outer map, of `words` words.
///
/// # Errors
/// If the generation is absent or cannot be read.
pub fn read_back(outer: &Map, index: u32, words: usize) -> Result<Digest> {
    let fail = |e: io::Error| AgentError::kernel(Step::ReadBack(index), e);
    let absent = || fail(io::ErrorKind::NotFound.into());
    let id = outer.read::<u32>(&index).map_err(fail)?.ok_or_else(absent)?;
    let inner = Map::by_id(id).map_err(fail)?;
    let mut buffer = vec![0; inner.value_size()];
    inner.get_into(&[0; 4], &mut buffer).map_err(fail)?;
    let part = buffer.get(FRONT..FRONT + HEADER_BYTES + words * 8).ok_or_else(absent)?;
    Ok(Digest::of(part))
}

/// Releases generations that are not kept: each is 4 MiB of kernel memory.
pub fn release(outer: &Map, keep: &[u32]) {
    for index in (0..GENERATIONS).filter(|i| !keep.contains(i)) {
        // That it is empty already is not an error, and one that stays only costs memory.
        let _ = outer.remove(index.as_bytes());
    }
}
