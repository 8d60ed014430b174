//! The subset construction (Rabin and Scott, 1959), over byte classes and with sparse rows.

use std::collections::HashMap;

use super::bytes::ByteClasses;
use super::dfa::{Dfa, Limits, TooLarge};
use super::nfa::Nfa;

/// Builds one automaton from several starts over the same patterns.
pub struct Subset<'a> {
    nfa: &'a Nfa,
    classes: ByteClasses,
    limits: Limits,
    /// Per node, what it stands for: itself and what silent edges reach, as far as they have edges or ids.
    closures: Vec<Box<[u32]>>,
    labels: Vec<Label>,
    starts: Vec<u32>,
    accept: Vec<u32>,
    /// Per state, where its row stands in `entries`.
    rows: Vec<(u32, u32)>,
    entries: Vec<(u8, u32)>,
    members: usize,
    /// States that stay as they are whatever follows, by accept number.
    absorbing: HashMap<u32, u32>,
}

/// The classes of a label.
struct Label {
    list: Vec<u8>,
    has: Vec<bool>,
}

/// Labels of more classes are looked at class by class, not sorted into each class's list of moves.
const NARROW: usize = 8;

/// The sets found from one start.
#[derive(Default)]
struct Known {
    states: HashMap<Box<[u32]>, u32>,
    decided: HashMap<Box<[u32]>, u32>,
    todo: Vec<(Box<[u32]>, u32)>,
}

impl<'a> Subset<'a> {
    /// Over these patterns. The classes must refine [`Nfa::classes`].
    pub fn new(nfa: &'a Nfa, classes: ByteClasses, limits: Limits) -> Subset<'a> {
        let label = |set| {
            let list = classes.classes_of(set);
            let has = (0..classes.len()).map(|c| list.contains(&(c as u8))).collect();
            Label { list, has }
        };
        Subset {
            nfa,
            closures: (0..nfa.nodes.len()).map(|n| closure(nfa, n as u32)).collect(),
            labels: nfa.labels.iter().map(label).collect(),
            classes,
            limits,
            starts: Vec::new(),
            accept: vec![0],
            rows: vec![(0, 0)],
            entries: Vec::new(),
            members: 0,
            absorbing: HashMap::new(),
        }
    }

    /// How many starts were added.
    pub fn starts(&self) -> usize {
        self.starts.len()
    }

    /// Adds a start that matches the patterns under all `roots` at once. `decide` gives the accept number for the
    /// sorted ids of the patterns that match; 0 is nothing, as no match is.
    pub fn start(&mut self, roots: &[u32], mut decide: impl FnMut(&[u32]) -> u32) -> Result<u32, TooLarge> {
        let mut known = Known::default();
        let set = roots.iter().flat_map(|r| self.closures[*r as usize].iter().copied()).collect();
        let start = self.intern(set, &mut known, &mut decide)?;
        self.starts.push(start);
        let mut narrow: Vec<Vec<u32>> = vec![Vec::new(); self.classes.len()];
        let mut at = 0;
        while at < known.todo.len() {
            let (set, state) = std::mem::take(&mut known.todo[at]);
            at += 1;
            self.expand(&set, state, &mut narrow, &mut known, &mut decide)?;
        }
        Ok(start)
    }

    fn expand(
        &mut self,
        set: &[u32],
        state: u32,
        narrow: &mut [Vec<u32>],
        known: &mut Known,
        decide: &mut impl FnMut(&[u32]) -> u32,
    ) -> Result<(), TooLarge> {
        let mut wide: Vec<(u32, u32)> = Vec::new();
        let mut touched: Vec<u8> = Vec::new();
        for (label, next) in set.iter().flat_map(|node| &self.nfa.nodes[*node as usize].edges) {
            let classes = &self.labels[*label as usize].list;
            if classes.len() > NARROW {
                wide.push((*label, *next));
                continue;
            }
            for class in classes {
                touched.push(*class);
                narrow[usize::from(*class)].push(*next);
            }
        }
        if wide.is_empty() {
            touched.sort_unstable();
            touched.dedup();
        } else {
            touched = (0..self.classes.len()).map(|c| c as u8).collect();
        }
        let mut row: Vec<(u8, u32)> = Vec::new();
        let mut same: (Vec<u32>, u32) = (Vec::new(), 0);
        for class in touched {
            let mut targets = Vec::new();
            let through = wide.iter().filter(|(label, _)| self.labels[*label as usize].has[usize::from(class)]);
            for next in narrow[usize::from(class)].drain(..).chain(through.map(|(_, next)| *next)) {
                targets.extend_from_slice(&self.closures[next as usize]);
            }
            if targets != same.0 {
                let next = self.intern(targets.clone(), known, decide)?;
                same = (targets, next);
            }
            if same.1 != 0 {
                row.push((class, same.1));
            }
        }
        let begin = self.entries.len() as u32;
        self.entries.extend(row);
        self.rows[state as usize] = (begin, self.entries.len() as u32);
        if self.entries.len() > self.limits.transitions { Err(self.too_large()) } else { Ok(()) }
    }

    /// The state of a set of nodes.
    fn intern(
        &mut self,
        mut set: Vec<u32>,
        known: &mut Known,
        decide: &mut impl FnMut(&[u32]) -> u32,
    ) -> Result<u32, TooLarge> {
        if set.is_empty() {
            return Ok(0);
        }
        set.sort_unstable();
        set.dedup();
        if let Some(state) = known.states.get(set.as_slice()) {
            return Ok(*state);
        }
        let mut ids: Vec<u32> = set.iter().flat_map(|n| self.nfa.nodes[*n as usize].ids.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let accept = match known.decided.get(ids.as_slice()) {
            _ if ids.is_empty() => 0,
            Some(accept) => *accept,
            None => {
                let accept = decide(&ids);
                known.decided.insert(ids.into(), accept);
                accept
            }
        };
        self.members += set.len();
        let set: Box<[u32]> = set.into();
        let state = if set.iter().all(|n| self.stays(*n)) {
            self.absorbing_state(accept)
        } else {
            let state = self.push(accept);
            known.todo.push((set.clone(), state));
            state
        };
        known.states.insert(set, state);
        if self.accept.len() > self.limits.states || self.members > self.limits.members {
            return Err(self.too_large());
        }
        Ok(state)
    }

    /// Whether a node does nothing but stay, whatever byte comes.
    fn stays(&self, node: u32) -> bool {
        match self.nfa.nodes[node as usize].edges[..] {
            [(label, next)] => next == node && self.labels[label as usize].list.len() == self.classes.len(),
            _ => false,
        }
    }

    fn absorbing_state(&mut self, accept: u32) -> u32 {
        if accept == 0 {
            return 0;
        }
        if let Some(state) = self.absorbing.get(&accept) {
            return *state;
        }
        let state = self.push(accept);
        let begin = self.entries.len() as u32;
        self.entries.extend((0..self.classes.len()).map(|c| (c as u8, state)));
        self.rows[state as usize] = (begin, self.entries.len() as u32);
        self.absorbing.insert(accept, state);
        state
    }

    fn push(&mut self, accept: u32) -> u32 {
        self.accept.push(accept);
        self.rows.push((0, 0));
        (self.accept.len() - 1) as u32
    }

    fn too_large(&self) -> TooLarge {
        TooLarge { states: self.accept.len() }
    }

    /// The minimal automaton of all starts.
    pub fn finish(self) -> Dfa {
        let mut rows = vec![0];
        let mut entries = Vec::with_capacity(self.entries.len());
        for (begin, end) in self.rows {
            entries.extend_from_slice(&self.entries[begin as usize..end as usize]);
            rows.push(entries.len() as u32);
        }
        let dfa = Dfa { classes: self.classes, starts: self.starts, accept: self.accept, rows, entries };
        super::minimize::minimize(&dfa)
    }
}

fn closure(nfa: &Nfa, node: u32) -> Box<[u32]> {
    let (mut seen, mut todo) = (vec![node], vec![node]);
    while let Some(n) = todo.pop() {
        for next in &nfa.nodes[n as usize].silent {
            if !seen.contains(next) {
                seen.push(*next);
                todo.push(*next);
            }
        }
    }
    seen.retain(|n| {
        let node = &nfa.nodes[*n as usize];
        !node.edges.is_empty() || !node.ids.is_empty()
    });
    seen.sort_unstable();
    seen.into()
}
