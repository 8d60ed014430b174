//! The selectors of a policy, as its tables have them: what they match by their text, and what the kernel will do.

use std::collections::BTreeSet;

use kiln_base::abi::metadata::BlockInfo;
use kiln_base::abi::{Kernel, Tables, TablesError};
use kiln_base::model::{BlockKind, CallFilter, cgroup_name};
use kiln_lang::automata::{Dfa, GlobError, Limits, Nfa, Pattern, Subset, TooLarge};

use super::calls;
use crate::bake::UnitSelector;

/// Index of the host's subject, which every task has that nothing else binds.
const HOST: u32 = 1;

/// A selector of the tables that cannot be matched.
#[derive(Debug, thiserror::Error)]
pub enum SelectorError {
    /// The tables cannot be read.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// It is not a pattern.
    #[error(transparent)]
    Pattern(#[from] GlobError),
    /// Its automaton is too large.
    #[error(transparent)]
    Automaton(#[from] TooLarge),
}

/// One `subject unit`.
pub struct Selector {
    text: String,
    literal: Option<String>,
    pattern: Pattern,
    automaton: Dfa,
    /// For each kind of host.
    tables: std::rc::Rc<[Bound]>,
}

/// The kernel part, and per subject the blocks that bind it.
struct Bound {
    kernel: Kernel,
    /// By text of a selector: name and whether it is a profile.
    blocks: Vec<(String, bool, Vec<String>)>,
    subjects: Vec<(Option<String>, Vec<String>)>,
    /// Whether lines of profiles differ in how specific they are.
    ranked: bool,
    /// By index of a subject, from 1, its filter of system calls.
    calls: Vec<Option<CallFilter>>,
}

impl Selector {
    /// The unit selectors of a tables file.
    ///
    /// # Errors
    /// Where the tables are not ones that the compiler wrote.
    pub fn all(tables: &[u8]) -> Result<Vec<Selector>, SelectorError> {
        let read = Tables::read(tables)?;
        let units: BTreeSet<String> = read.all().flat_map(|t| t.metadata.units.iter().cloned()).collect();
        let bound: std::rc::Rc<[Bound]> = read.all().map(Bound::of).collect();
        let one = |text: String| {
            let pattern = Pattern::parse(&text)?;
            let literal = pattern.literal().and_then(|bytes| String::from_utf8(bytes).ok());
            Ok(Selector { automaton: automaton(&pattern)?, text, literal, pattern, tables: bound.clone() })
        };
        units.into_iter().map(one).collect()
    }

    /// The same on every host: the compiler sees to it.
    fn calls_of(&self, unit: &str) -> Option<&CallFilter> {
        self.tables.iter().find_map(|bound| bound.calls.get(bound.subject(unit) as usize - 1)?.as_ref())
    }
}

impl Bound {
    fn of(Tables { kernel, metadata, .. }: &Tables) -> Bound {
        let block = |b: &BlockInfo| (b.name.clone(), b.kind == BlockKind::Profile, b.units.clone());
        Bound {
            kernel: kernel.clone(),
            ranked: metadata.image.is_some(),
            blocks: metadata.blocks.iter().map(block).collect(),
            calls: metadata.subjects.iter().map(|s| s.calls.clone()).collect(),
            subjects: metadata.subjects.iter().map(|s| (s.profile.clone(), s.guards.clone())).collect(),
        }
    }

    /// The subject of what comes into a unit's cgroup.
    fn subject(&self, unit: &str) -> u32 {
        self.kernel.after_unit(HOST, cgroup_name(unit).as_bytes())
    }

    /// Whether a unit comes to every block with this selector; nothing is said where no block has it.
    fn attaches(&self, text: &String, unit: &str) -> Option<bool> {
        let (profile, guards) = self.subjects.get(self.subject(unit) as usize - 1)?;
        // Of two profiles with lines of different keys the more specific one attaches: the compiler decided which.
        let other = |own: &String| {
            let has = |(name, is_profile, units): &(String, bool, Vec<String>)| {
                *is_profile && profile.as_ref() == Some(name) && units.iter().any(|u| matches(u, unit))
            };
            profile.as_ref() != Some(own) && self.ranked && self.blocks.iter().any(has)
        };
        let mut blocks = self.blocks.iter().filter(|(_, _, units)| units.contains(text)).peekable();
        blocks.peek()?;
        Some(blocks.all(|(name, is_profile, _)| match is_profile {
            true => profile.as_ref() == Some(name) || other(name),
            false => guards.contains(name),
        }))
    }
}

fn matches(pattern: &str, unit: &str) -> bool {
    Pattern::parse(pattern).is_ok_and(|p| p.matches(unit.as_bytes()))
}

fn automaton(pattern: &Pattern) -> Result<Dfa, SelectorError> {
    let mut nfa = Nfa::new();
    let root = nfa.root();
    nfa.add(root, pattern, 1);
    let mut subset = Subset::new(&nfa, nfa.classes(), Limits::default());
    subset.start(&[root], |_| 1)?;
    Ok(subset.finish())
}

impl UnitSelector for Selector {
    fn text(&self) -> &str {
        &self.text
    }
    fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }
    fn matches(&self, unit: &str) -> bool {
        self.pattern.matches(unit.as_bytes())
    }
    fn instance(&self, template: &str) -> Option<String> {
        let (prefix, suffix) = template.split_once('@')?;
        let usable = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\".contains(&b);
        let start = *self.automaton.starts().first()?;
        let found = self.automaton.between(start, format!("{prefix}@").as_bytes(), suffix.as_bytes(), usable)?;
        Some(format!("{prefix}@{}{suffix}", String::from_utf8(found).ok()?))
    }
    fn filters_calls(&self, unit: &str) -> bool {
        self.calls_of(unit).is_some()
    }
    fn call_lines(&self, unit: &str, own: &[(String, String)]) -> Vec<String> {
        self.calls_of(unit).map_or_else(Vec::new, |filter| calls::lines(filter, own))
    }
    fn attaches(&self, unit: &str) -> bool {
        let mut said = self.tables.iter().filter_map(|bound| bound.attaches(&self.text, unit)).peekable();
        said.peek().is_some() && said.all(|attaches| attaches)
    }
}

/// The programs that the subjects of a tables file name without a wildcard.
///
/// # Errors
/// As [`Selector::all`].
pub fn programs(tables: &[u8]) -> Result<Vec<String>, SelectorError> {
    let mut out = Vec::new();
    for text in Tables::read(tables)?.all().flat_map(|t| &t.metadata.blocks).flat_map(|b| &b.exec) {
        let literal = Pattern::parse(text)?.literal();
        out.extend(literal.and_then(|bytes| String::from_utf8(bytes).ok()));
    }
    out.sort();
    out.dedup();
    Ok(out)
}
