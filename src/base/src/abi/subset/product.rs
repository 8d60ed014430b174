//! The product of two automata, walked in breadth, so that what is found first is found by a shortest text.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

use crate::abi::kernel::Kernel;
use crate::abi::layout::{NET_KEY, PATH_MAX};
use crate::abi::subset::wider::Wider;

/// Pairs of states of one walk.
const MOST_STATES: usize = 1 << 20;
/// Steps of all walks together.
const MOST_STEPS: usize = 1 << 26;

/// Two tables, and the steps that are left to compare them.
pub(super) struct Product<'a> {
    before: &'a Kernel,
    after: &'a Kernel,
    paths: Vec<u8>,
    protocols: Vec<u8>,
    nets: Vec<u8>,
    left: Rc<Cell<usize>>,
}

/// A pair of states, where it was come from, and by which byte.
type Node = ((u32, u32), usize, u8);

impl<'a> Product<'a> {
    pub(super) fn new(before: &'a Kernel, after: &'a Kernel) -> Product<'a> {
        Product::within(before, after, Rc::new(Cell::new(MOST_STEPS)))
    }

    /// Of other tables, by the steps that are left to this one.
    pub(super) fn of<'b>(&self, before: &'b Kernel, after: &'b Kernel) -> Product<'b> {
        Product::within(before, after, Rc::clone(&self.left))
    }

    /// Counts work that is as much as these steps.
    pub(super) fn spend(&self, steps: usize) -> Result<(), Wider> {
        self.left.set(self.left.get().checked_sub(steps).ok_or(Wider::TooMuch("too many steps"))?);
        Ok(())
    }

    fn within(before: &'a Kernel, after: &'a Kernel, left: Rc<Cell<usize>>) -> Product<'a> {
        let paths = representatives(&before.header.path_class, &after.header.path_class, |b| match b {
            b'a'..=b'z' => 0,
            b'0'..=b'9' => 1,
            b'/' | b'.' | b'-' | b'_' | b'@' => 2,
            0x21..=0x7e => 3,
            0 => 5,
            _ => 4,
        });
        // TCP and UDP before other protocols; small numbers before great ones.
        let nets = |first: [u8; 2]| {
            representatives(&before.header.net_class, &after.header.net_class, |b| u8::from(!first.contains(&b)))
        };
        Product { before, after, paths, protocols: nets([6, 17]), nets: nets([0, 0]), left }
    }

    /// Walks over all texts. `found` gets each pair of states once; what it gives ends the walk, with a shortest text.
    pub(super) fn texts<T>(
        &mut self,
        start: (u32, u32),
        mut found: impl FnMut(u32, u32, &dyn Fn() -> Vec<u8>) -> Option<T>,
    ) -> Result<Option<(T, Vec<u8>)>, Wider> {
        let (mut nodes, mut seen): (Vec<Node>, _) = (vec![(start, 0, 0)], HashSet::from([start]));
        let (mut depths, mut at) = (vec![0], 0);
        while at < nodes.len() {
            let (x, y) = nodes[at].0;
            if let Some(what) = found(x, y, &|| text(&nodes, at)) {
                return Ok(Some((what, text(&nodes, at))));
            }
            // What is longer is not walked by the kernel programs, but refused.
            let reach = if depths[at] < PATH_MAX { self.paths.len() } else { 0 };
            for n in 0..reach {
                let next = self.step((x, y), self.paths[n], false)?;
                if seen.insert(next) {
                    nodes.push((next, at, self.paths[n]));
                    depths.push(depths[at] + 1);
                }
            }
            if nodes.len() > MOST_STATES {
                return Err(Wider::TooMuch("too many pairs of states"));
            }
            at += 1;
        }
        Ok(None)
    }

    /// Walks over all keys of IP sockets. `found` gets each pair of states in which one ends.
    pub(super) fn keys<T>(
        &mut self,
        start: (u32, u32),
        mut found: impl FnMut(u32, u32) -> Option<T>,
    ) -> Result<Option<(T, Vec<u8>)>, Wider> {
        let mut nodes: Vec<Node> = vec![(start, 0, 0)];
        let mut level = 0..1;
        for place in 0..NET_KEY {
            let (end, mut seen) = (nodes.len(), HashSet::new());
            let bytes = if place == 0 { self.protocols.clone() } else { self.nets.clone() };
            for at in level {
                for byte in &bytes {
                    let next = self.step(nodes[at].0, *byte, true)?;
                    if seen.insert(next) {
                        nodes.push((next, at, *byte));
                    }
                }
            }
            if nodes.len() > MOST_STATES {
                return Err(Wider::TooMuch("too many pairs of states"));
            }
            level = end..nodes.len();
        }
        for at in level {
            let (x, y) = nodes[at].0;
            if let Some(what) = found(x, y) {
                return Ok(Some((what, text(&nodes, at))));
            }
        }
        Ok(None)
    }

    /// The pair after a `/`.
    pub(super) fn below(&self, x: u32, y: u32) -> (u32, u32) {
        (step(self.before, x, b'/', false), step(self.after, y, b'/', false))
    }

    fn step(&mut self, (x, y): (u32, u32), byte: u8, net: bool) -> Result<(u32, u32), Wider> {
        self.spend(1)?;
        Ok((step(self.before, x, byte, net), step(self.after, y, byte, net)))
    }
}

/// State 0 is dead and stays dead.
fn step(kernel: &Kernel, state: u32, byte: u8, net: bool) -> u32 {
    let classes = if net { &kernel.header.net_class } else { &kernel.header.path_class };
    if state == 0 { 0 } else { kernel.step(state, classes[usize::from(byte)]) }
}

fn text(nodes: &[Node], mut at: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while at != 0 {
        let (_, before, byte) = nodes[at];
        bytes.push(byte);
        at = before;
    }
    bytes.reverse();
    bytes
}

/// For each pair of classes that some byte has, the byte that reads best.
fn representatives(before: &[u8; 256], after: &[u8; 256], rank: impl Fn(u8) -> u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.sort_by_key(|b| (rank(*b), *b));
    let mut seen = HashSet::new();
    bytes.retain(|b| seen.insert((before[usize::from(*b)], after[usize::from(*b)])));
    bytes
}
