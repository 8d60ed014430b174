//! `kiln_state`: the one word that a flip changes, written by a single aligned store, and what goes with it.

use std::io;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use kiln_base::abi::layout::{GENERATIONS, INACTIVE, State, TURN_SHIFT};

use crate::bpf::map::Map;
use crate::bpf::mapping::Mapping;

/// `kiln_state`, mapped.
#[derive(Debug)]
pub struct StateWord(Mapping);

impl StateWord {
    /// Maps `kiln_state`.
    ///
    /// # Errors
    /// If the map is not mappable or of another size.
    pub fn map(map: &Map) -> io::Result<StateWord> {
        Mapping::map(map, size_of::<State>()).map(StateWord)
    }

    /// Whether something is enforced, whatever build the map is of: the active word comes first in each.
    ///
    /// # Errors
    /// If the map is not mappable.
    pub fn enforces(map: &Map) -> io::Result<bool> {
        let word = Mapping::map(map, map.value_size())?;
        Ok(word.word(0).load(Ordering::Acquire) as u32 != INACTIVE)
    }

    /// Index of the active generation; `None` while nothing is enforced.
    pub fn active(&self) -> Option<u32> {
        let low = self.0.word(offset_of!(State, active)).load(Ordering::Acquire) as u32;
        (low != INACTIVE).then_some(low & ((1 << TURN_SHIFT) - 1))
    }

    /// The flip to a generation, whose header says `host_verbs`. Each has a turn of its own.
    pub fn flip(&self, generation: u32, host_verbs: u32) {
        let turn = self.0.word(offset_of!(State, turn)).fetch_add(1, Ordering::AcqRel) + 1;
        // Of 24 bits: after sixteen million flips they begin anew.
        let low = (turn as u32) << TURN_SHIFT | generation;
        self.0.word(offset_of!(State, active)).store(u64::from(host_verbs) << 32 | u64::from(low), Ordering::Release);
    }

    /// Enforces nothing.
    pub fn end(&self) {
        self.0.word(offset_of!(State, active)).store(u64::from(INACTIVE), Ordering::Release);
    }

    /// The serial of a generation index.
    pub fn serial(&self, generation: u32) -> u64 {
        self.0.word(serial_offset(generation)).load(Ordering::Acquire)
    }

    /// Sets the serial of a generation that is not active.
    pub fn set_serial(&self, generation: u32, serial: u64) {
        self.0.word(serial_offset(generation)).store(serial, Ordering::Release);
    }

    /// Says that [`crate::bpf::groups::Groups::strays`] was.
    pub fn set_strays(&self) {
        self.0.word(offset_of!(State, strays)).store(1, Ordering::SeqCst);
    }

    /// Whether somebody was put into quarantine in this boot.
    pub fn quarantines(&self) -> bool {
        self.0.word(offset_of!(State, quarantines)).load(Ordering::Acquire) != 0
    }

    /// Whether somebody was throttled in this boot.
    pub fn throttles(&self) -> bool {
        self.0.word(offset_of!(State, throttles)).load(Ordering::Acquire) != 0
    }

    /// Says that somebody is.
    pub fn set_throttles(&self) {
        self.0.word(offset_of!(State, throttles)).store(1, Ordering::SeqCst);
    }

    /// Whether tasks are known to be seen before they leave their cgroup (`KILN_MOVES_SEEN`).
    pub fn moves_seen(&self) -> bool {
        self.0.word(offset_of!(State, moves)).load(Ordering::Acquire) == 1
    }
}

fn serial_offset(generation: u32) -> usize {
    offset_of!(State, serial) + 8 * generation.min(GENERATIONS - 1) as usize
}
