//! Many patterns as one nondeterministic automaton: a trie over the patterns' parts, so that what patterns begin
//! with in common is there once, with runs and alternatives as its only loops and joins.

use std::collections::HashMap;

use super::bytes::{ByteClasses, ByteSet};
use super::glob::{Pattern, Token};

/// A node. What leads to it is exactly the language of one beginning of a pattern.
#[derive(Debug, Default, Clone)]
pub(super) struct Node {
    /// On a byte of this set (index of `labels`) to that node.
    pub(super) edges: Vec<(u32, u32)>,
    /// Without a byte.
    pub(super) silent: Vec<u32>,
    /// The ids of the patterns that end here.
    pub(super) ids: Vec<u32>,
}

/// Patterns under one or more roots. Each pattern carries an id, by which it is told what matched.
#[derive(Debug, Default, Clone)]
pub struct Nfa {
    pub(super) nodes: Vec<Node>,
    pub(super) labels: Vec<ByteSet>,
    label_of: HashMap<ByteSet, u32>,
    children: HashMap<(u32, Part), u32>,
    joins: HashMap<Vec<u32>, u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    One(u32),
    Run(u32),
}

impl Nfa {
    /// Without patterns.
    pub fn new() -> Nfa {
        Nfa::default()
    }

    /// A root, under which patterns can be put.
    pub fn root(&mut self) -> u32 {
        self.node()
    }

    /// Puts a glob under a root.
    pub fn add(&mut self, root: u32, pattern: &Pattern, id: u32) {
        let end = self.sequence(root, &pattern.tokens);
        self.end(end, id);
    }

    /// Puts a string of sets under a root: it matches what has its length and each byte in the set at its place.
    pub fn add_sets(&mut self, root: u32, sets: &[ByteSet], id: u32) {
        let mut at = root;
        for set in sets {
            at = self.one(at, *set);
        }
        self.end(at, id);
    }

    /// The partition of bytes that these patterns need.
    pub fn classes(&self) -> ByteClasses {
        ByteClasses::of_sets(&self.labels)
    }

    fn node(&mut self) -> u32 {
        self.nodes.push(Node::default());
        (self.nodes.len() - 1) as u32
    }

    fn end(&mut self, node: u32, id: u32) {
        let ids = &mut self.nodes[node as usize].ids;
        if ids.last() != Some(&id) {
            ids.push(id);
        }
    }

    fn label(&mut self, set: ByteSet) -> u32 {
        let next = self.labels.len() as u32;
        let label = *self.label_of.entry(set).or_insert(next);
        if label == next {
            self.labels.push(set);
        }
        label
    }

    fn one(&mut self, at: u32, set: ByteSet) -> u32 {
        let label = self.label(set);
        if let Some(next) = self.children.get(&(at, Part::One(label))) {
            return *next;
        }
        let next = self.node();
        self.children.insert((at, Part::One(label)), next);
        self.nodes[at as usize].edges.push((label, next));
        next
    }

    fn run(&mut self, at: u32, set: ByteSet) -> u32 {
        let label = self.label(set);
        if let Some(next) = self.children.get(&(at, Part::Run(label))) {
            return *next;
        }
        let next = self.node();
        self.children.insert((at, Part::Run(label)), next);
        self.nodes[at as usize].silent.push(next);
        self.nodes[next as usize].edges.push((label, next));
        next
    }

    fn sequence(&mut self, mut at: u32, tokens: &[Token]) -> u32 {
        for token in tokens {
            at = match token {
                Token::Byte(b) => self.one(at, ByteSet::byte(*b)),
                Token::Set(set) => self.one(at, *set),
                Token::Run(set) => self.run(at, *set),
                Token::Alternatives(all) => {
                    let mut ends: Vec<u32> = all.iter().map(|one| self.sequence(at, one)).collect();
                    ends.sort_unstable();
                    ends.dedup();
                    self.join(ends)
                }
            };
        }
        at
    }

    /// The node that all ends lead to without a byte; the same for the same ends.
    fn join(&mut self, ends: Vec<u32>) -> u32 {
        if let [only] = ends[..] {
            return only;
        }
        if let Some(node) = self.joins.get(&ends) {
            return *node;
        }
        let node = self.node();
        ends.iter().for_each(|end| self.nodes[*end as usize].silent.push(node));
        self.joins.insert(ends, node);
        node
    }
}
