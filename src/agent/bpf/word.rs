//! The one word that a flip changes, written by a single aligned store.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::map::Map;
use crate::abi::layout::{GENERATIONS, State};

/// BPF_F_MMAPABLE of linux/bpf.h.
const MMAPABLE: u32 = 1 << 10;
const PAGE: usize = 4096;

/// `kiln_state`, mapped. bpf(2) copies a value byte by byte where it likes; a store to the mapping is one access.
#[derive(Debug)]
pub struct StateWord {
    at: *mut std::ffi::c_void,
}

// SAFETY: all access is by atomics on memory that lives as long as the value.
unsafe impl Send for StateWord {}

impl StateWord {
    /// Maps `kiln_state`.
    ///
    /// # Errors
    /// If the map is not mappable or of another size.
    pub fn map(map: &Map) -> io::Result<StateWord> {
        if map.flags() & MMAPABLE == 0 || map.value_size() < size_of::<State>() || map.value_size() > PAGE {
            return Err(io::Error::other("kiln_state is not mappable or of another size; programs of another build?"));
        }
        // SAFETY: a fresh shared mapping of a page of the map, at an address of the kernel's choice.
        let at = unsafe {
            mmap(std::ptr::null_mut(), PAGE, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, map.as_fd(), 0)
        }?;
        Ok(StateWord { at })
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        // `State` is `active` and then one word a generation.
        let index = index.min(GENERATIONS as usize);
        // SAFETY: the mapping is a page, aligned, and `index` is one of the first five words.
        unsafe { &*self.at.cast::<AtomicU64>().add(index) }
    }

    /// The active word.
    pub fn active(&self) -> u64 {
        self.word(0).load(Ordering::Acquire)
    }

    /// The flip.
    pub fn flip(&self, active: u64) {
        self.word(0).store(active, Ordering::Release);
    }

    /// The serial of a generation index.
    pub fn serial(&self, generation: u32) -> u64 {
        self.word(1 + generation as usize).load(Ordering::Acquire)
    }

    /// Sets the serial of a generation that is not active.
    pub fn set_serial(&self, generation: u32, serial: u64) {
        self.word(1 + generation as usize).store(serial, Ordering::Release);
    }
}

impl Drop for StateWord {
    fn drop(&mut self) {
        // SAFETY: `at` is the start of the mapping made in `map`, and no reference to it outlives `self`.
        let _ = unsafe { munmap(self.at, PAGE) };
    }
}
