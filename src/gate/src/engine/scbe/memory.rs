//! The antibody loads, by process key.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many keys the reference remembers.
pub const REFERENCE_ENTRIES: usize = 50_000;

/// Antibody load by key; the key inserted first is the first to go.
#[derive(Debug)]
pub struct Memory {
    loads: HashMap<Arc<[u8]>, f64, foldhash::fast::RandomState>,
    order: VecDeque<Arc<[u8]>>,
    capacity: usize,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::with_capacity(REFERENCE_ENTRIES)
    }
}

impl Memory {
    /// A memory of so many keys, at least 1,000.
    pub fn with_capacity(capacity: usize) -> Memory {
        Memory { loads: HashMap::default(), order: VecDeque::new(), capacity: capacity.max(1000) }
    }

    /// The load of a key, 0 for an unknown one.
    #[cfg(test)]
    fn load(&self, key: &[u8]) -> f64 {
        self.loads.get(key).copied().unwrap_or(0.0)
    }

    /// Changes a key's load, 0 for a new one, and returns what it was and what it is.
    pub fn change(&mut self, key: &[u8], change: impl FnOnce(f64) -> f64) -> (f64, f64) {
        if let Some(slot) = self.loads.get_mut(key) {
            let before = *slot;
            *slot = change(before);
            return (before, *slot);
        }
        if self.loads.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.loads.remove(&oldest);
        }
        let key: Arc<[u8]> = key.into();
        self.order.push_back(key.clone());
        let load = change(0.0);
        self.loads.insert(key, load);
        (0.0, load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_inserted_goes_first_even_if_used_since() {
        let mut memory = Memory::with_capacity(0);
        for i in 0..1000 {
            memory.change(format!("{i}").as_bytes(), |_| 0.5);
        }
        assert_eq!(memory.change(b"0", |before| before + 0.25), (0.5, 0.75));
        assert_eq!(memory.change(b"new", |before| before + 0.25), (0.0, 0.25));
        assert_eq!(memory.load(b"0"), 0.0);
        assert_eq!(memory.load(b"1"), 0.5);
        assert_eq!(memory.load(b"new"), 0.25);
    }
}
