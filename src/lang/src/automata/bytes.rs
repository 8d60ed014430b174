//! Sets of bytes, and the coarsest partition of all bytes that a family of sets respects.

use std::collections::BTreeMap;
use std::fmt;

/// A set of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// No byte.
    pub const EMPTY: ByteSet = ByteSet([0; 4]);
    /// Every byte.
    pub const ANY: ByteSet = ByteSet([u64::MAX; 4]);
    /// Every byte but `/`: what `*` and `?` match.
    pub const NOT_SLASH: ByteSet = ByteSet([!(1 << b'/'), u64::MAX, u64::MAX, u64::MAX]);

    /// One byte.
    pub fn byte(b: u8) -> ByteSet {
        ByteSet::range(b, b)
    }
    /// The bytes from `first` to `last`, both included; none if `last` is smaller.
    pub fn range(first: u8, last: u8) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        (first..=last).for_each(|b| set.insert(b));
        set
    }
    /// Adds a byte.
    pub fn insert(&mut self, b: u8) {
        self.0[usize::from(b >> 6)] |= 1 << (b & 63);
    }
    /// Whether the byte is in the set.
    pub const fn contains(&self, b: u8) -> bool {
        self.0[(b >> 6) as usize] & (1 << (b & 63)) != 0
    }
    /// Whether no byte is in the set.
    pub fn is_empty(&self) -> bool {
        *self == ByteSet::EMPTY
    }
    /// The bytes of either.
    pub fn union(mut self, other: ByteSet) -> ByteSet {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a |= b);
        self
    }
    /// The bytes of both.
    pub fn intersection(mut self, other: ByteSet) -> ByteSet {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a &= b);
        self
    }
    /// The bytes that are not in the set.
    pub fn complement(mut self) -> ByteSet {
        self.0.iter_mut().for_each(|a| *a = !*a);
        self
    }
    /// The bytes, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|b| self.contains(*b))
    }
}

impl fmt::Debug for ByteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A partition of the bytes: bytes of one class are never told apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ByteClasses {
    of: [u8; 256],
    /// One byte of each class, by which a class is shown.
    representatives: Vec<u8>,
}

impl ByteClasses {
    /// The coarsest partition that keeps apart what some set keeps apart. Classes are numbered by their least byte.
    pub fn of_sets<'a>(sets: impl IntoIterator<Item = &'a ByteSet>) -> ByteClasses {
        let mut of = [0u8; 256];
        for set in sets {
            // Refine: a class falls into its bytes within and without the set.
            let mut halves = BTreeMap::new();
            for b in 0..=u8::MAX {
                let next = halves.len();
                of[usize::from(b)] = *halves.entry((of[usize::from(b)], set.contains(b))).or_insert(next) as u8;
            }
        }
        ByteClasses::from_map(of)
    }

    /// From any map that gives equal numbers to bytes of a class.
    pub fn from_map(map: [u8; 256]) -> ByteClasses {
        let (mut of, mut representatives, mut numbers) = ([0u8; 256], Vec::new(), BTreeMap::new());
        for b in 0..=u8::MAX {
            of[usize::from(b)] = *numbers.entry(map[usize::from(b)]).or_insert_with(|| {
                representatives.push(b);
                (representatives.len() - 1) as u8
            });
        }
        ByteClasses { of, representatives }
    }

    /// The class of a byte.
    pub fn class(&self, b: u8) -> u8 {
        self.of[usize::from(b)]
    }
    /// How many classes there are, 1 to 256.
    pub fn len(&self) -> usize {
        self.representatives.len()
    }
    /// Never: there is always a class.
    pub fn is_empty(&self) -> bool {
        false
    }
    /// A byte of the class: a letter or digit if the class has one, else its least byte.
    pub fn representative(&self, class: u8) -> u8 {
        let within = |b: &u8| self.of[usize::from(*b)] == class;
        (b'a'..=b'z')
            .chain(b'0'..=b'9')
            .chain(b'!'..=b'~')
            .find(within)
            .unwrap_or_else(|| self.representatives.get(usize::from(class)).copied().unwrap_or(0))
    }
    /// The map from byte to class.
    pub fn map(&self) -> &[u8; 256] {
        &self.of
    }
    /// The classes that a set consists of. The set must be one that made the partition, or a union of such.
    pub fn classes_of(&self, set: &ByteSet) -> Vec<u8> {
        (0..self.len()).map(|c| c as u8).filter(|c| set.contains(self.representatives[usize::from(*c)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_keep_apart_what_sets_do() {
        let sets = [ByteSet::byte(b'/'), ByteSet::range(b'a', b'f'), ByteSet::range(b'c', b'z'), ByteSet::ANY];
        let classes = ByteClasses::of_sets(&sets);
        assert_eq!(classes.len(), 5);
        for a in 0..=255 {
            for b in 0..=255 {
                let apart = sets.iter().any(|s| s.contains(a) != s.contains(b));
                assert_eq!(classes.class(a) != classes.class(b), apart, "{a} {b}");
            }
        }
        assert_eq!(classes.classes_of(&sets[1]).len(), 2);
    }

    #[test]
    fn all_bytes_can_be_apart() {
        let sets: Vec<_> = (0..=255).map(ByteSet::byte).collect();
        assert_eq!(ByteClasses::of_sets(&sets).len(), 256);
        assert_eq!(ByteClasses::of_sets(&[]).len(), 1);
    }
}
