//! The value of a mappable map, shared with the kernel programs. bpf(2) copies a value byte by byte where it likes; a
//! load or store of the mapping is one access.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::bpf::map::Map;

/// BPF_F_MMAPABLE of linux/bpf.h.
const MMAPABLE: u32 = 1 << 10;
const PAGE: usize = 4096;

/// A map's one value, mapped.
#[derive(Debug)]
pub struct Mapping {
    at: *mut std::ffi::c_void,
    len: usize,
}

// SAFETY: all access is by atomics on memory that lives as long as the value.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps a map that holds a value of `size` bytes, a multiple of 8.
    ///
    /// # Errors
    /// If the map is not mappable or of another size.
    pub fn map(map: &Map, size: usize) -> io::Result<Mapping> {
        if map.flags() & MMAPABLE == 0 || map.value_size() != size || !size.is_multiple_of(8) {
            return Err(io::Error::other(format!(
                "its value is of {} bytes where {size} that can be mapped are wanted; programs of another build?",
                map.value_size()
            )));
        }
        let len = size.next_multiple_of(PAGE);
        // SAFETY: a fresh shared mapping of the map's pages, at an address of the kernel's choice.
        let at = unsafe {
            mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, map.as_fd(), 0)
        }?;
        Ok(Mapping { at, len })
    }

    /// The 64-bit word at a byte offset.
    ///
    /// # Panics
    /// If the offset is not one of a word of the value.
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len, "no word of the mapping");
        // SAFETY: within the mapping, aligned as the mapping is, and only ever accessed atomically.
        unsafe { &*self.at.cast::<u8>().add(offset).cast::<AtomicU64>() }
    }

    /// The 32-bit half word at a byte offset.
    ///
    /// # Panics
    /// If the offset is not one of a half word of the value.
    pub fn half(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.len, "no half word of the mapping");
        // SAFETY: as in `word`.
        unsafe { &*self.at.cast::<u8>().add(offset).cast::<AtomicU32>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`; no reference to it outlives `self`.
        let _ = unsafe { munmap(self.at, self.len) };
    }
}
