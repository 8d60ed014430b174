//! Is there a text that some patterns match and others do not? The shortest one, by breadth-first search.

use std::collections::HashMap;

use super::nfa::State;
use super::{ByteSet, Matcher};

/// Sets of states visited by one search, at most. Real policies need some hundreds.
const STATES: usize = 20_000;

/// How much searching one policy may cause altogether, in states stepped through: some seconds of work.
#[derive(Debug, Clone)]
pub struct Budget(u64);

impl Default for Budget {
    fn default() -> Budget {
        Budget(60_000_000)
    }
}

impl Budget {
    /// Takes from the budget; false when it is used up.
    pub fn spend(&mut self, work: usize) -> bool {
        self.0 = self.0.saturating_sub(work as u64);
        self.0 > 0
    }
    /// Whether it is used up: then answers are [`Witness::Unknown`].
    pub fn exhausted(&self) -> bool {
        self.0 == 0
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Witness {
    /// There is none.
    None,
    /// A shortest one.
    Text(Vec<u8>),
    /// The search would take too long; the caller must assume that there is one.
    Unknown,
}

impl Witness {
    /// Whether there may be one.
    pub fn possible(&self) -> bool {
        *self != Witness::None
    }
    /// For messages.
    pub fn shown(&self) -> Option<String> {
        match self {
            Witness::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        }
    }
}

/// Where a path stands with respect to normal form: no empty, `.` or `..` component, no `/` at the end but for `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Norm {
    /// Not a path, or before its first byte.
    Free,
    /// Behind the first `/`.
    Root,
    /// Behind a later `/`.
    Slash,
    /// Behind `/.`.
    Dot,
    /// Behind `/..`.
    Dots,
    /// Within a component that is all right.
    Name,
}

impl Norm {
    fn step(self, byte: u8, paths: bool) -> Option<Norm> {
        if !paths {
            return Some(Norm::Free);
        }
        match (self, byte) {
            (Norm::Free, b'/') => Some(Norm::Root),
            (Norm::Free, _) => None,
            (Norm::Name, b'/') => Some(Norm::Slash),
            (_, b'/') => None,
            (Norm::Root | Norm::Slash, b'.') => Some(Norm::Dot),
            (Norm::Dot, b'.') => Some(Norm::Dots),
            _ => Some(Norm::Name),
        }
    }
    fn ends(self) -> bool {
        matches!(self, Norm::Free | Norm::Root | Norm::Name)
    }
}

/// One state of the product: the states of each pattern, and of the path.
type Key = (Vec<Vec<u32>>, Norm);

/// What is taken away: what any of `any` matches and none of `except` does.
#[derive(Debug, Clone, Default)]
pub struct Cut<'m> {
    /// Patterns.
    pub any: Vec<&'m Matcher>,
    /// Exceptions.
    pub except: Vec<&'m Matcher>,
}

/// A shortest text that all of `all` match and none of `none` takes away; only normalised absolute paths if `paths`.
pub fn witness(all: &[&Matcher], none: &[Cut<'_>], paths: bool, budget: &mut Budget) -> Witness {
    if !budget.spend(16) {
        return Witness::Unknown;
    }
    if diverge(all) {
        return Witness::None;
    }
    let cuts = none.iter().flat_map(|c| c.any.iter().chain(&c.except));
    let patterns: Vec<&Matcher> = all.iter().chain(cuts).copied().collect();
    let bytes = representatives(&patterns);
    let step_cost: usize = patterns.iter().map(|p| p.states.len()).sum();
    let initial: Key = (patterns.iter().map(|p| p.initial()).collect(), Norm::Free);
    let mut seen: HashMap<Key, ()> = HashMap::from([(initial.clone(), ())]);
    // Each entry: the product state, and from which entry by which byte it was reached.
    let mut queue: Vec<(Key, usize, u8)> = vec![(initial, 0, 0)];
    let mut at = 0;
    while at < queue.len() {
        let (sets, norm) = queue[at].0.clone();
        let included = sets.iter().zip(all).all(|(set, p)| p.accepts(set));
        if included && !excluded(&sets[all.len()..], none) && norm.ends() && !(paths && norm == Norm::Free) {
            return Witness::Text(trace(&queue, at));
        }
        for &byte in &bytes {
            let Some(norm) = norm.step(byte, paths) else { continue };
            let next: Vec<Vec<u32>> = sets.iter().zip(&patterns).map(|(set, p)| p.step(set, byte)).collect();
            if next[..all.len()].iter().any(Vec::is_empty) {
                continue;
            }
            let key = (next, norm);
            if seen.insert(key.clone(), ()).is_none() {
                queue.push((key, at, byte));
            }
        }
        if queue.len() > STATES || !budget.spend(step_cost * bytes.len()) {
            return Witness::Unknown;
        }
        at += 1;
    }
    Witness::None
}

/// Whether one of the cuts takes the text away that led to these sets, which are in the order of the cuts' patterns.
fn excluded(sets: &[Vec<u32>], cuts: &[Cut<'_>]) -> bool {
    let mut sets = sets.iter();
    cuts.iter().any(|cut| {
        let mut accepted = |list: &[&Matcher]| list.iter().zip(&mut sets).fold(false, |a, (p, s)| a | p.accepts(s));
        let (any, except) = (accepted(&cut.any), accepted(&cut.except));
        any && !except
    })
}

/// Whether two patterns begin with different bytes: the usual case, decided without a search.
fn diverge(all: &[&Matcher]) -> bool {
    all.iter().enumerate().any(|(n, a)| all[n + 1..].iter().any(|b| !Matcher::may_meet(a, b)))
}

fn trace(queue: &[(Key, usize, u8)], mut at: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while at != 0 {
        text.push(queue[at].2);
        at = queue[at].1;
    }
    text.reverse();
    text
}

/// One byte for each class of bytes that no pattern tells apart, readable ones where there is a choice.
fn representatives(patterns: &[&Matcher]) -> Vec<u8> {
    let mut class = [0u16; 256];
    let mut refine = |set: &ByteSet| {
        let mut names: HashMap<(u16, bool), u16> = HashMap::new();
        for byte in 0..=255u8 {
            let fresh = names.len() as u16;
            let entry = &mut class[usize::from(byte)];
            *entry = *names.entry((*entry, set.contains(byte))).or_insert(fresh);
        }
    };
    let mut sets: Vec<ByteSet> = vec![ByteSet::of(b'/'), ByteSet::of(b'.'), ByteSet::of(0)];
    for pattern in patterns {
        sets.extend(pattern.states.iter().filter_map(|s| match s {
            State::Byte(set, _) => Some(*set),
            _ => None,
        }));
    }
    sets.sort_unstable_by_key(|s| s.0);
    sets.dedup();
    sets.iter().for_each(&mut refine);
    let order = (b'a'..=b'z').chain(b'0'..=b'9').chain(0x21..=0x7e).chain(1..=255);
    let mut chosen: HashMap<u16, u8> = HashMap::new();
    let mut bytes = Vec::new();
    for byte in order {
        if chosen.insert(class[usize::from(byte)], byte).is_none() {
            bytes.push(byte);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(all: &[&str], none: &[&str]) -> Witness {
        let compile = |list: &[&str]| list.iter().map(|p| Matcher::new(p).unwrap()).collect::<Vec<_>>();
        let (all, none) = (compile(all), compile(none));
        let cut = Cut { any: none.iter().collect(), except: Vec::new() };
        witness(&all.iter().collect::<Vec<_>>(), &[cut], true, &mut Budget::default())
    }

    #[test]
    fn intersections_and_differences() {
        assert_eq!(ask(&["/etc/**", "/**/shadow"], &[]).shown().as_deref(), Some("/etc/shadow"));
        assert_eq!(ask(&["/etc/*", "/usr/*"], &[]), Witness::None);
        assert_eq!(ask(&["/a*b", "/*/b"], &[]), Witness::None);
        assert_eq!(ask(&["/etc/shadow"], &["/etc/sh*"]), Witness::None);
        assert_eq!(ask(&["/etc/s*"], &["/etc/sh*", "/etc/s[!h]*"]).shown().as_deref(), Some("/etc/s"));
        // Only `//` would satisfy both, and that is not a path that the kernel reports.
        assert_eq!(ask(&["/a/**/z", "/a{/,}/z"], &[]), Witness::None);
        assert_eq!(ask(&["/**"], &["/**"]), Witness::None);
    }

    #[test]
    fn the_search_is_bounded() {
        let many = format!("/**{}", "a[ab]".repeat(24).replace("a[", "*a[ab]["));
        assert!(ask(&[&many, "/**b*"], &["/*a*"]).possible());
    }
}
