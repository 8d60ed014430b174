//! Two automata at once: what both accept, or one and not the other.

use std::collections::HashMap;

use super::bytes::ByteClasses;
use super::dfa::{Dfa, Limits, TooLarge};
use super::glob::Pattern;
use super::nfa::Nfa;
use super::subset::Subset;

/// What of two languages is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// What both accept.
    Both,
    /// What the first accepts and the second does not.
    FirstOnly,
    /// What either accepts.
    Either,
}

impl Combine {
    fn holds(self, a: bool, b: bool) -> bool {
        match self {
            Combine::Both => a && b,
            Combine::FirstOnly => a && !b,
            Combine::Either => a || b,
        }
    }
}

impl Dfa {
    /// The minimal automaton of what any of the patterns matches. It has one start and accepts with 1.
    pub fn of_patterns<'a>(patterns: impl IntoIterator<Item = &'a Pattern>) -> Result<Dfa, TooLarge> {
        let mut nfa = Nfa::new();
        let root = nfa.root();
        patterns.into_iter().for_each(|p| nfa.add(root, p, 0));
        let mut subset = Subset::new(&nfa, nfa.classes(), Limits::default());
        subset.start(&[root], |_| 1)?;
        Ok(subset.finish())
    }

    /// Both automata over the byte classes that they need together.
    pub fn common_classes(&self, other: &Dfa) -> (Dfa, Dfa) {
        let (classes, pairs) = common_classes(&self.classes, &other.classes);
        let left: Vec<u8> = pairs.iter().map(|p| p.0).collect();
        let right: Vec<u8> = pairs.iter().map(|p| p.1).collect();
        (self.refined(&classes, &left), other.refined(&classes, &right))
    }

    /// Over finer classes, of which each lies in the class `of` gives.
    fn refined(&self, classes: &ByteClasses, of: &[u8]) -> Dfa {
        let mut out = Dfa { classes: classes.clone(), rows: vec![0], entries: Vec::new(), ..self.clone() };
        for state in 0..self.len() as u32 {
            let fine = of.iter().enumerate().map(|(fine, class)| (fine as u8, self.next(state, *class)));
            out.entries.extend(fine.filter(|(_, next)| *next != 0));
            out.rows.push(out.entries.len() as u32);
        }
        out
    }

    /// The first start, or the dead state.
    pub fn first_start(&self) -> u32 {
        self.starts.first().copied().unwrap_or(0)
    }

    /// The minimal automaton of a combination, from the first start of each. It accepts with 1.
    pub fn combine(&self, other: &Dfa, how: Combine) -> Result<Dfa, TooLarge> {
        let limits = Limits::default();
        let (classes, pairs) = common_classes(&self.classes, &other.classes);
        let mut number: HashMap<(u32, u32), u32> = HashMap::from([((0, 0), 0)]);
        let mut order = vec![(0, 0)];
        let mut visit = |pair: (u32, u32), order: &mut Vec<(u32, u32)>| {
            // Behind a dead side the answer may be settled.
            let settled = match how {
                Combine::Both => pair.0 == 0 || pair.1 == 0,
                Combine::FirstOnly => pair.0 == 0,
                Combine::Either => false,
            };
            let pair = if settled { (0, 0) } else { pair };
            *number.entry(pair).or_insert_with(|| {
                order.push(pair);
                (order.len() - 1) as u32
            })
        };
        let start = visit((self.first_start(), other.first_start()), &mut order);
        let (mut rows, mut entries, mut accept) = (vec![0, 0], Vec::new(), vec![0]);
        let mut at = 1;
        while at < order.len() {
            let (a, b) = order[at];
            at += 1;
            accept.push(u32::from(how.holds(self.accept(a) != 0, other.accept(b) != 0)));
            for (class, (ca, cb)) in pairs.iter().enumerate() {
                let next = visit((self.next(a, *ca), other.next(b, *cb)), &mut order);
                if next != 0 {
                    entries.push((class as u8, next));
                }
            }
            rows.push(entries.len() as u32);
            if order.len() > limits.states || entries.len() > limits.transitions {
                return Err(TooLarge { states: order.len() });
            }
        }
        Ok(super::minimize::minimize(&Dfa { classes, starts: vec![start], accept, rows, entries }))
    }

    /// A shortest input that the combination accepts, if there is one.
    pub fn witness(&self, other: &Dfa, how: Combine) -> Result<Option<Vec<u8>>, TooLarge> {
        let combined = self.combine(other, how)?;
        Ok(combined.shortest(combined.first_start()))
    }
}

/// The coarsest common refinement, and for each of its classes the classes of both sides.
fn common_classes(a: &ByteClasses, b: &ByteClasses) -> (ByteClasses, Vec<(u8, u8)>) {
    let mut pairs: Vec<(u8, u8)> = Vec::new();
    let map: [u8; 256] = std::array::from_fn(|byte| {
        let pair = (a.class(byte as u8), b.class(byte as u8));
        pairs.iter().position(|p| *p == pair).unwrap_or_else(|| {
            pairs.push(pair);
            pairs.len() - 1
        }) as u8
    });
    // `from_map` numbers by least byte, as `pairs` was filled.
    (ByteClasses::from_map(map), pairs)
}
