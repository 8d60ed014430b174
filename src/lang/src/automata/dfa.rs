//! A deterministic automaton over byte classes, with any number of starts and an accept number per state.

use super::bytes::ByteClasses;

/// How large an automaton may grow before the attempt is given up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// States, before they are made fewest.
    pub states: usize,
    /// Transitions to live states.
    pub transitions: usize,
    /// Members of all subsets together: the memory that construction takes, in 32-bit words.
    pub members: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { states: 1 << 20, transitions: 24 << 20, members: 48 << 20 }
    }
}

/// The patterns together need more states than can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the patterns need more than {states} states together; patterns with `*` or `**` before long or many different \
     endings cost most: name directories instead"
)]
pub struct TooLarge {
    /// States there were when construction stopped.
    pub states: usize,
}

/// The automaton. State 0 is dead: it accepts nothing and leads nowhere. Transitions to it are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dfa {
    pub(super) classes: ByteClasses,
    pub(super) starts: Vec<u32>,
    pub(super) accept: Vec<u32>,
    /// Where in `entries` a state's transitions begin; one more than there are states.
    pub(super) rows: Vec<u32>,
    /// Class and next state, by class, none dead.
    pub(super) entries: Vec<(u8, u32)>,
}

impl Dfa {
    /// The byte classes.
    pub fn classes(&self) -> &ByteClasses {
        &self.classes
    }
    /// The start states, in the order in which they were asked for.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }
    /// How many states there are, the dead one included.
    pub fn len(&self) -> usize {
        self.accept.len()
    }
    /// Whether nothing is accepted from any start.
    pub fn is_empty(&self) -> bool {
        self.starts.iter().all(|s| self.shortest(*s).is_none())
    }
    /// What a state accepts with; 0 for nothing.
    pub fn accept(&self, state: u32) -> u32 {
        self.accept[state as usize]
    }
    /// The transitions of a state to live states: class and next state, by class.
    pub fn row(&self, state: u32) -> &[(u8, u32)] {
        let s = state as usize;
        &self.entries[self.rows[s] as usize..self.rows[s + 1] as usize]
    }
    /// The next state.
    pub fn next(&self, state: u32, class: u8) -> u32 {
        let row = self.row(state);
        row.binary_search_by_key(&class, |e| e.0).map_or(0, |at| row[at].1)
    }
    /// What `input` is accepted with from a state; 0 for nothing.
    pub fn run(&self, start: u32, input: &[u8]) -> u32 {
        let end = input.iter().try_fold(start, |s, b| match self.next(s, self.classes.class(*b)) {
            0 => None,
            next => Some(next),
        });
        end.map_or(0, |s| self.accept(s))
    }
    /// A shortest input that is accepted from a state; among several the one that comes first by class.
    pub fn shortest(&self, start: u32) -> Option<Vec<u8>> {
        self.shortest_where(start, |accept| accept != 0)
    }
    /// A shortest input whose accept number is as wanted.
    pub fn shortest_where(&self, start: u32, wanted: impl Fn(u32) -> bool) -> Option<Vec<u8>> {
        let mut from: Vec<Option<(u32, u8)>> = vec![None; self.len()];
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(state) = queue.pop_front() {
            if wanted(self.accept(state)) {
                let (mut at, mut bytes) = (state, Vec::new());
                while at != start {
                    let (before, class) = from[at as usize]?;
                    bytes.push(self.classes.representative(class));
                    at = before;
                }
                bytes.reverse();
                return Some(bytes);
            }
            for (class, next) in self.row(state) {
                if *next != start && from[*next as usize].is_none() {
                    from[*next as usize] = Some((state, *class));
                    queue.push_back(*next);
                }
            }
        }
        None
    }
    /// A shortest text that is accepted between `prefix` and `suffix`, of bytes that `within` has and not empty.
    pub fn between(&self, start: u32, prefix: &[u8], suffix: &[u8], within: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
        let step = |state, byte: &u8| self.next(state, self.classes.class(*byte));
        let first = prefix.iter().fold(start, step);
        let usable: Vec<(u8, u8)> = (0..=u8::MAX).filter(|b| within(*b)).map(|b| (self.classes.class(b), b)).collect();
        let byte_of = |class: u8| usable.iter().find(|(c, _)| *c == class).map(|(_, b)| *b);
        let mut known = vec![false; self.len()];
        let mut queue = std::collections::VecDeque::from([(first, Vec::new())]);
        while let Some((state, text)) = queue.pop_front() {
            for (class, next) in self.row(state) {
                let Some(byte) = byte_of(*class).filter(|_| !std::mem::replace(&mut known[*next as usize], true))
                else {
                    continue;
                };
                let text: Vec<u8> = text.iter().copied().chain([byte]).collect();
                if self.accept(suffix.iter().fold(*next, step)) != 0 {
                    return Some(text);
                }
                queue.push_back((*next, text));
            }
        }
        None
    }
    /// The same automaton with other accept numbers: `map` is asked for all but 0 and must be one to one.
    pub fn map_accepts(mut self, map: impl Fn(u32) -> u32) -> Dfa {
        self.accept.iter_mut().filter(|a| **a != 0).for_each(|a| *a = map(*a));
        self
    }
    /// The accept numbers that some input reaches from a state, 0 left out; sorted.
    pub fn accepts_from(&self, start: u32) -> Vec<u32> {
        let mut seen = vec![false; self.len()];
        let mut todo = vec![start];
        let mut found = std::collections::BTreeSet::new();
        while let Some(state) = todo.pop() {
            if !std::mem::replace(&mut seen[state as usize], true) {
                found.insert(self.accept(state));
                todo.extend(self.row(state).iter().map(|e| e.1));
            }
        }
        found.remove(&0);
        found.into_iter().collect()
    }
}
