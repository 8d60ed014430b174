//! The kernel part of a tables file: `struct kiln_header` and the words behind it, as one value.

use zerocopy::{FromBytes, IntoBytes, transmute};

use super::layout::{Decision, Header, Outcome, Subject};

/// Bytes of the header.
pub const HEADER_BYTES: usize = size_of::<Header>();
/// 64-bit words of a subject.
pub const SUBJECT_WORDS: usize = size_of::<Subject>() / 8;
/// 64-bit words of a decision.
pub const DECISION_WORDS: usize = size_of::<Decision>() / 8;
/// Words at the start that stay zero, so that state 0 leads nowhere whatever byte comes.
pub const DEAD_WORDS: usize = 264;

/// The kernel part. Values made by [`super::Tables::read`] are checked: every offset, state and index lies within.
#[derive(Clone)]
pub struct Kernel {
    /// The header.
    pub header: Header,
    /// The words behind it.
    pub words: Vec<u64>,
}

impl Kernel {
    /// The bytes that follow `slot` and `label_of` in the map's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.header.as_bytes(), self.words.as_bytes()].concat()
    }

    /// Splits bytes into header and words; nothing is checked but the length.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Kernel> {
        let (header, rest) = Header::read_from_prefix(bytes).ok()?;
        if !rest.len().is_multiple_of(8) {
            return None;
        }
        let mut words = vec![0u64; rest.len() / 8];
        words.as_mut_bytes().copy_from_slice(rest);
        Some(Kernel { header, words })
    }

    fn word(&self, at: usize) -> Option<u64> {
        self.words.get(at).copied()
    }

    /// The subject of an index, or one that decides for another at a time.
    pub fn subject(&self, index: u32) -> Option<Subject> {
        if index == 0 || index >= self.header.n_subjects.saturating_add(self.header.n_variants) {
            return None;
        }
        let at = self.header.subjects_off as usize + index as usize * SUBJECT_WORDS;
        Subject::read_from_bytes(self.words.get(at..at + SUBJECT_WORDS)?.as_bytes()).ok()
    }

    /// The decision of an index.
    pub fn decision(&self, index: u32) -> Option<Decision> {
        if index >= self.header.n_decisions {
            return None;
        }
        let at = self.header.decisions_off as usize + index as usize * DECISION_WORDS;
        Decision::read_from_bytes(self.words.get(at..at + DECISION_WORDS)?.as_bytes()).ok()
    }

    /// The outcome of an index.
    pub fn outcome(&self, index: u32) -> Option<Outcome> {
        if index >= self.header.n_outcomes {
            return None;
        }
        self.word(self.header.outcomes_off as usize + index as usize).map(|w| transmute!(w))
    }

    /// The outcome index of an entry of the capability and kernel lists.
    pub fn outcome_ref(&self, index: u32) -> Option<u32> {
        if index >= self.header.n_outcome_refs {
            return None;
        }
        let word = self.word(self.header.outcome_refs_off as usize + index as usize / 2)?;
        Some((word >> (32 * (index % 2))) as u32)
    }
}

/// The words of a subject.
pub fn subject_words(s: &Subject) -> [u64; SUBJECT_WORDS] {
    transmute!(*s)
}

/// The words of a decision.
pub fn decision_words(d: &Decision) -> [u64; DECISION_WORDS] {
    transmute!(*d)
}

/// The word of an outcome.
pub fn outcome_word(o: &Outcome) -> u64 {
    transmute!(*o)
}
