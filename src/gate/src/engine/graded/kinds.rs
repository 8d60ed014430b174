//! Kinds of evidence, as a set of 128: what has been seen of a process or a tissue, so that the same again is not more.

/// Places for reasons.
pub(super) const REASONS: usize = 96;
/// Places for targets of weight, counted within what they are targets of.
pub(super) const TARGETS: usize = 22;
/// Places for what has no reason of its own: rules that the weights do not name.
const WORDS: usize = 10;

/// One term's kind: a reason, and which of the targets or rules that share it. None of both is not evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kind {
    reason: u8,
    detail: u8,
}

impl Kind {
    /// The kind of the reason in this place, if there is such a place.
    pub fn of_reason(place: usize) -> Option<Kind> {
        (place < REASONS).then_some(Kind { reason: place as u8 + 1, detail: 0 })
    }

    /// The same reason, and one of its targets.
    pub fn with_target(self, target: u8) -> Kind {
        Kind { detail: (REASONS + usize::from(target) % TARGETS) as u8 + 1, ..self }
    }

    /// The same reason, and a word.
    pub fn with_word(self, hash: u128) -> Kind {
        Kind { detail: (REASONS + TARGETS + hash as usize % WORDS) as u8 + 1, ..self }
    }

    /// Whether it is evidence.
    pub fn is_evidence(self) -> bool {
        self.reason > 0
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds(pub u128);

impl Kinds {
    /// Adds a kind.
    pub fn insert(&mut self, kind: Kind) {
        self.0 |= bit(kind.reason) | bit(kind.detail);
    }

    /// How much of it is new: all, if its reason is; half, if only its target is.
    pub fn novelty(self, kind: Kind) -> f32 {
        let new = |place: u8| bit(place) & !self.0 != 0;
        match (new(kind.reason), new(kind.detail)) {
            (true, _) => 1.0,
            (false, true) => 0.5,
            (false, false) => 0.0,
        }
    }
}

fn bit(place: u8) -> u128 {
    // Place 0 is nothing.
    if place == 0 { 0 } else { 1 << (place - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_not_new_and_another_target_is_half() {
        let kind = Kind::of_reason(95).expect("a place");
        let mut seen = Kinds::default();
        assert_eq!(seen.novelty(kind.with_target(21)), 1.0);
        seen.insert(kind.with_target(21));
        assert_eq!(seen.novelty(kind.with_target(21)), 0.0);
        assert_eq!(seen.novelty(kind.with_target(0)), 0.5);
        assert_eq!(seen.novelty(kind.with_word(9)), 0.5);
        assert_eq!(seen.novelty(kind), 0.0);
        assert_eq!(Kind::of_reason(96), None);
        assert!(!Kind::default().is_evidence());
        assert_eq!(Kinds::default().novelty(Kind::default()), 0.0);
    }
}
