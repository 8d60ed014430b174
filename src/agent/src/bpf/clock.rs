//! `kiln_clock`: where the kernel's wall clock is, and which windows are open over a time to come.

use std::io;
use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU64, Ordering};

use kiln_base::abi::layout::{Clock as Layout, GENERATIONS, OPENINGS, Schedule as Slots, WINDOWS};
use kiln_base::window::Schedule;

use crate::bpf::map::Map;
use crate::bpf::mapping::Mapping;

/// `kiln_clock`, mapped.
#[derive(Debug)]
pub struct Clock(Mapping);

impl Clock {
    /// Maps `kiln_clock`.
    ///
    /// # Errors
    /// If the map is not mappable or of another size.
    pub fn map(map: &Map) -> io::Result<Clock> {
        Mapping::map(map, size_of::<Layout>()).map(Clock)
    }

    /// Whether the programs know where the wall clock is.
    pub fn is_known(&self) -> bool {
        self.timekeeper().load(Ordering::Acquire) != 0
    }

    fn timekeeper(&self) -> &AtomicU64 {
        self.0.word(offset_of!(Layout, timekeeper))
    }

    /// Has the next run of a program look at an address as if the kernel's timekeeper were there; 0: at none.
    pub fn try_at(&self, address: u64) {
        self.0.word(offset_of!(Layout, seen)).store(0, Ordering::Release);
        self.0.word(offset_of!(Layout, trial)).store(address, Ordering::Release);
    }

    /// The nanoseconds of the wall clock that were seen there.
    pub fn seen(&self) -> u64 {
        self.0.word(offset_of!(Layout, seen)).load(Ordering::Acquire)
    }

    /// Tells where the timekeeper is.
    pub fn found(&self, address: u64) {
        self.timekeeper().store(address, Ordering::Release);
    }

    fn turn(&self, generation: u32) -> &AtomicU64 {
        self.0.word(offset_of!(Layout, turn) + 8 * generation.min(GENERATIONS - 1) as usize)
    }

    /// A word of one of a generation's two schedules.
    fn word(&self, generation: u32, turn: u64, offset: usize) -> &AtomicU64 {
        let number = 2 * generation.min(GENERATIONS - 1) as usize + (turn & 1) as usize;
        self.0.word(offset_of!(Layout, schedule) + number * size_of::<Slots>() + offset)
    }

    /// The schedule by which the programs decide for a generation.
    pub fn read(&self, generation: u32) -> Schedule {
        let turn = self.turn(generation).load(Ordering::Acquire);
        let word = |offset| self.word(generation, turn, offset).load(Ordering::Acquire);
        let n = (word(offset_of!(Slots, n)) as usize).min(OPENINGS);
        let entry = |n: usize| {
            let entry = word(offset_of!(Slots, entry) + 8 * n);
            ((entry >> WINDOWS) as i64, entry & ((1 << WINDOWS) - 1))
        };
        let (from, until) = self.span(generation);
        Schedule { from, until, openings: (0..n).map(entry).collect() }
    }

    /// Since when and until when it is known for a generation which windows are open.
    pub fn span(&self, generation: u32) -> (i64, i64) {
        let turn = self.turn(generation).load(Ordering::Acquire);
        let word = |offset| self.word(generation, turn, offset).load(Ordering::Acquire) as i64;
        (word(offset_of!(Slots, from)), word(offset_of!(Slots, until)))
    }

    /// Makes a schedule the one by which the programs decide for a generation, and reads it back.
    ///
    /// # Errors
    /// If it has no place, or another is read back.
    pub fn write(&self, generation: u32, schedule: &Schedule) -> io::Result<()> {
        let fits = schedule.openings.len() <= OPENINGS && schedule.from >= 0;
        if !fits || schedule.openings.iter().any(|(at, open)| *at >= 1 << (64 - WINDOWS) || *open >> WINDOWS != 0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let turn = self.turn(generation).load(Ordering::Acquire) + 1;
        let put = |offset, value| self.word(generation, turn, offset).store(value, Ordering::Release);
        // Not valid yet: nobody reads it.
        put(offset_of!(Slots, n), schedule.openings.len() as u64);
        for (n, (at, open)) in schedule.openings.iter().enumerate() {
            put(offset_of!(Slots, entry) + 8 * n, (*at as u64) << WINDOWS | open);
        }
        put(offset_of!(Slots, from), schedule.from as u64);
        put(offset_of!(Slots, until), schedule.until as u64);
        self.turn(generation).store(turn, Ordering::SeqCst);
        if self.read(generation) == *schedule { Ok(()) } else { Err(io::Error::other("another one is read back")) }
    }
}
