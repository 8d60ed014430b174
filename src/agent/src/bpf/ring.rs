//! Reading the kernel's ring buffer (Documentation/bpf/ringbuf.rst).
//!
//! Read here and not through libbpf, because the position of a record is its sequence number: it is unique and grows
//! through all restarts of the agent in one boot, and two readers can never give one number to two events.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::bpf::map::Map;

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const HEAD: usize = 8;

/// The reader; there must be one only, which the agent's lock sees to.
#[derive(Debug)]
pub struct Ring {
    consumer: *mut std::ffi::c_void,
    producer: *mut std::ffi::c_void,
    page: usize,
    size: usize,
    map: Map,
}

// SAFETY: the mappings live as long as the value, and positions are only accessed as atomics.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps `kiln_events`.
    ///
    /// # Errors
    /// If the map is not a ring buffer.
    pub fn open(map: Map) -> io::Result<Ring> {
        if map.map_type() != libbpf_sys::BPF_MAP_TYPE_RINGBUF {
            return Err(io::Error::other("kiln_events is not a ring buffer"));
        }
        let page = rustix::param::page_size();
        let size = map.max_entries() as usize;
        if !size.is_power_of_two() || !size.is_multiple_of(page) {
            return Err(io::Error::other("the ring buffer's size is not a power of two of pages"));
        }
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh shared mapping of the consumer's page, at an address of the kernel's choice.
        let consumer = unsafe { mmap(std::ptr::null_mut(), page, rw, MapFlags::SHARED, map.as_fd(), 0) }?;
        // SAFETY: as above: the producer's page, and the data twice, so that a record never wraps.
        let producer = unsafe {
            mmap(std::ptr::null_mut(), page + 2 * size, ProtFlags::READ, MapFlags::SHARED, map.as_fd(), page as u64)
        };
        let producer = match producer {
            Ok(at) => at,
            Err(e) => {
                // SAFETY: made just above, and nothing refers to it.
                let _ = unsafe { munmap(consumer, page) };
                return Err(e.into());
            }
        };
        Ok(Ring { consumer, producer, page, size, map })
    }

    fn consumer(&self) -> &AtomicU64 {
        // SAFETY: the first word of the consumer's page, aligned, mapped as long as `self`.
        unsafe { &*self.consumer.cast::<AtomicU64>() }
    }

    fn producer(&self) -> &AtomicU64 {
        // SAFETY: the first word of the producer's page, aligned, mapped as long as `self`.
        unsafe { &*self.producer.cast::<AtomicU64>() }
    }

    /// Bytes ever consumed: the position of the next record.
    pub fn position(&self) -> u64 {
        self.consumer().load(Ordering::Acquire)
    }

    /// Bytes ever produced: where the last record ends that is there now.
    pub fn end(&self) -> u64 {
        self.producer().load(Ordering::Acquire)
    }

    /// Gives each complete record to `take`, with its position plus one as its number, at most `most` of them.
    /// A record counts as consumed once `take` returns true; on false reading stops before it.
    pub fn read(&self, most: usize, mut take: impl FnMut(u64, &[u8]) -> bool) -> usize {
        let mut count = 0;
        let mut at = self.consumer().load(Ordering::Acquire);
        while count < most && at < self.producer().load(Ordering::Acquire) {
            let offset = (at as usize) & (self.size - 1);
            // SAFETY: `offset` is below `size` and a multiple of 8, so the header lies within the data's first half.
            let head = unsafe { &*self.producer.cast::<u8>().add(self.page + offset).cast::<AtomicU32>() };
            let head = head.load(Ordering::Acquire);
            if head & BUSY != 0 {
                break; // still being written
            }
            let len = (head & !(BUSY | DISCARD)) as usize;
            if len > self.size {
                break; // cannot be: the kernel writes no such record
            }
            if head & DISCARD == 0 {
                // SAFETY: a committed record of `len` <= size bytes; the data is mapped twice in a row, so it does not
                // wrap, and the kernel does not write to it until the consumer's position is past it.
                let bytes = unsafe {
                    std::slice::from_raw_parts(self.producer.cast::<u8>().add(self.page + offset + HEAD), len)
                };
                if !take(at + 1, bytes) {
                    break;
                }
                count += 1;
            }
            at += (len + HEAD).next_multiple_of(8) as u64;
            self.consumer().store(at, Ordering::Release);
        }
        count
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mappings made in `open`, to which no reference outlives `self`.
        let _ = unsafe { munmap(self.consumer, self.page) };
        // SAFETY: as above.
        let _ = unsafe { munmap(self.producer, self.page + 2 * self.size) };
    }
}
