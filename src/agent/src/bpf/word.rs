//! `kiln_state`: the one word that a flip changes, written by a single aligned store, and what goes with it.

use std::io;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use kiln_base::abi::layout::{AUDIT_PIECE, AUDIT_PIECES, GENERATIONS, INACTIVE, State, TURN_SHIFT};

use crate::bpf::map::Map;
use crate::bpf::mapping::Mapping;

/// The one unit that is in audit mode, as the kernel programs know it (`bpf/include/audit.h`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// It ends then; nanoseconds since boot.
    pub until_ns: u64,
    /// It holds under this serial only.
    pub serial: u64,
    /// What the unit's processes have.
    pub label: u32,
    /// That of its guards alone.
    pub guards: u32,
    /// Name of the unit's cgroup.
    pub cgroup: String,
}

/// Longest name of a cgroup.
const MOST_NAME: usize = (AUDIT_PIECES - 1) * AUDIT_PIECE;

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

    /// Tells the unit in audit mode, in the place of any other. The time comes last: while it is 0 none is.
    ///
    /// # Errors
    /// If the name is longer than one of a cgroup can be.
    pub fn set_audited(&self, unit: &Audited) -> io::Result<()> {
        self.end_audited();
        if unit.cgroup.len() > MOST_NAME {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let at = offset_of!(State, audit_unit);
        for (n, word) in words_of_name(unit.cgroup.as_bytes()).into_iter().enumerate() {
            self.0.word(at + 8 * n).store(word, Ordering::Release);
        }
        self.0.word(offset_of!(State, audit_serial)).store(unit.serial, Ordering::Release);
        let labels = u64::from(unit.guards) << 32 | u64::from(unit.label);
        self.0.word(offset_of!(State, audit_labels)).store(labels, Ordering::Release);
        self.0.word(offset_of!(State, audit_until)).store(unit.until_ns, Ordering::SeqCst);
        Ok(())
    }

    /// No unit is in audit mode any more.
    pub fn end_audited(&self) {
        self.0.word(offset_of!(State, audit_until)).store(0, Ordering::SeqCst);
    }

    /// The unit in audit mode, also where its time is over.
    pub fn audited(&self) -> Option<Audited> {
        let word = |at: usize| self.0.word(at).load(Ordering::Acquire);
        let until_ns = word(offset_of!(State, audit_until));
        let labels = word(offset_of!(State, audit_labels));
        let name: Vec<u64> = (0..2 * AUDIT_PIECES).map(|n| word(offset_of!(State, audit_unit) + 8 * n)).collect();
        (until_ns != 0).then(|| Audited {
            until_ns,
            serial: word(offset_of!(State, audit_serial)),
            label: labels as u32,
            guards: (labels >> 32) as u32,
            cgroup: name_of_words(&name),
        })
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

/// A name in pieces, each with a zero behind it, as bpf_probe_read_kernel_str() gives them.
fn words_of_name(name: &[u8]) -> [u64; 2 * AUDIT_PIECES] {
    let mut words = [0; 2 * AUDIT_PIECES];
    for (n, piece) in name.chunks(AUDIT_PIECE).take(AUDIT_PIECES).enumerate() {
        let mut bytes = [0; 16];
        bytes[..piece.len()].copy_from_slice(piece);
        let whole = u128::from_le_bytes(bytes);
        (words[2 * n], words[2 * n + 1]) = (whole as u64, (whole >> 64) as u64);
    }
    words
}

fn name_of_words(words: &[u64]) -> String {
    let pieces = words.chunks(2).flat_map(|piece| {
        let bytes: Vec<u8> = piece.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.into_iter().take(AUDIT_PIECE)
    });
    String::from_utf8_lossy(&pieces.take_while(|byte| *byte != 0).collect::<Vec<u8>>()).into_owned()
}

fn serial_offset(generation: u32) -> usize {
    offset_of!(State, serial) + 8 * generation.min(GENERATIONS - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_length_goes_into_pieces_and_back() {
        for len in [1, 14, 15, 16, 29, 30, 31, 254, MOST_NAME] {
            let name: String = ('a'..='z').cycle().take(len).collect();
            let words = words_of_name(name.as_bytes());
            assert_eq!(name_of_words(&words), name);
            // Each piece ends with a zero, and what is behind the name is empty.
            assert!(words.chunks(2).all(|piece| piece[1] >> 56 == 0));
            assert_eq!(words[2 * (AUDIT_PIECES - 1)..], [0, 0]);
        }
    }
}
