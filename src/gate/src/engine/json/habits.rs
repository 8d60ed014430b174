//! Which key usually follows which: the lines of a source are much alike, so a key is mostly known before it is read.

use wide::u8x16;

use super::hit::{Hit, NO_HIT};

/// How many bytes of a key are compared at once, its quotes and its colon among them.
const WIDTH: usize = 32;

/// Keys that are kept; a source has some dozens.
const MOST: usize = 128;

/// Stands for the beginning of a line, or for a key that is not kept.
const NONE: usize = 0;

#[derive(Debug, Clone, Copy)]
struct Known {
    /// The key as written, from its opening quote to the colon right after its closing one; then zeros.
    raw: [u8; WIDTH],
    length: u8,
    /// Where it was read, and what it means there.
    node: u8,
    hit: Hit,
    /// The key that last followed it.
    next: u8,
}

/// What a thread has seen so far. It changes how fast a line is read, never what is read.
#[derive(Debug)]
pub struct Habits {
    known: Vec<Known>,
    last: usize,
}

impl Default for Habits {
    fn default() -> Habits {
        let none = Known { raw: [0; WIDTH], length: 0, node: NO_HIT.node, hit: NO_HIT, next: NONE as u8 };
        Habits { known: vec![none], last: NONE }
    }
}

impl Habits {
    /// A new line.
    pub(super) fn start(&mut self) {
        self.last = NONE;
    }

    /// If `rest` starts with the expected key: its length with the colon, and its meaning.
    #[inline(always)]
    pub(super) fn guess(&mut self, node: u8, rest: &[u8]) -> Option<(usize, Hit)> {
        let next = usize::from(self.known.get(self.last)?.next);
        let known = self.known.get(next)?;
        let (found, _) = rest.first_chunk::<WIDTH>()?.as_chunks::<16>();
        let (wanted, _) = known.raw.as_chunks::<16>();
        let half = |i: usize| u8x16::new(found[i]).simd_eq(u8x16::new(wanted[i])).to_bitmask();
        let differs = !(half(0) | half(1) << 16);
        // The first byte that differs is beyond the key.
        if known.node != node || differs.trailing_zeros() < u32::from(known.length) || next == NONE {
            return None;
        }
        self.last = next;
        Some((usize::from(known.length), known.hit))
    }

    /// Keeps what was read instead of the expected: `raw` is a plain key with its quotes and the colon.
    #[inline(never)]
    pub(super) fn learn(&mut self, node: u8, raw: &[u8], hit: Hit) {
        let mut padded = [0; WIDTH];
        let Some(place) = padded.get_mut(..raw.len()) else {
            self.last = NONE;
            return;
        };
        place.copy_from_slice(raw);
        let found = self.known.iter().position(|known| known.node == node && known.raw == padded);
        let at = found.unwrap_or(self.known.len());
        if at == self.known.len() {
            if at == MOST {
                self.last = NONE;
                return;
            }
            self.known.push(Known { raw: padded, length: raw.len() as u8, node, hit, next: NONE as u8 });
        }
        if let Some(last) = self.known.get_mut(self.last) {
            last.next = at as u8;
        }
        self.last = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expects_what_came_last_time_and_nothing_else() {
        let mut habits = Habits::default();
        let hit = |slot| Hit { slot, node: 255 };
        let long = [b'x'; WIDTH];
        habits.start();
        assert!(habits.guess(0, b"\"a\":1                                  ").is_none());
        habits.learn(0, b"\"a\":", hit(1));
        habits.learn(0, b"\"b\":", hit(2));
        habits.start();
        let text = |key: &str| format!("{key}{}", " ".repeat(WIDTH));
        assert!(habits.guess(1, text("\"a\":").as_bytes()).is_none(), "of another node");
        assert!(habits.guess(0, text("\"aa\":").as_bytes()).is_none());
        assert!(habits.guess(0, b"\"a\":").is_none(), "too near the end to tell");
        assert!(habits.guess(0, text("\"a\":").as_bytes()).is_some_and(|(length, hit)| (length, hit.slot) == (4, 1)));
        assert!(habits.guess(0, text("\"b\":").as_bytes()).is_some_and(|(length, hit)| (length, hit.slot) == (4, 2)));
        habits.learn(0, &[long.as_slice(), b"\":"].concat(), hit(3));
        habits.start();
        assert!(habits.guess(0, text("\"a\":").as_bytes()).is_some(), "a key that is not kept changes nothing");
    }

    #[test]
    fn keeps_so_many_keys_and_no_more() {
        let mut habits = Habits::default();
        for i in 0..1000 {
            habits.learn(0, format!("\"k{i}\":").as_bytes(), NO_HIT);
        }
        assert_eq!(habits.known.len(), MOST);
    }
}
