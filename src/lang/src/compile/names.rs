//! The names of hosts by which rules permit connections, as the kernel programs know them: an automaton from a name to
//! the number of the set of patterns that match it. What an answer of a name server teaches is kept under that number.

use std::collections::{BTreeMap, BTreeSet};

use kiln_base::abi::layout::NAME_SETS;
use kiln_base::model::Digest;

use super::CompileError;
use crate::automata::{Dfa, Limits, Nfa, Pattern, Subset};
use crate::policy::normal::{Addresses, Object, Policy};

/// All names of a policy.
pub(super) struct Names {
    /// Accepts with the number of a set, from 1.
    pub(super) automaton: Dfa,
    /// A digest of which sets the numbers mean, above a byte for a number: what was learned for one policy holds for the
    /// next, if that has the same names.
    pub(super) key: u64,
    /// The patterns of each set.
    sets: Vec<BTreeSet<String>>,
}

impl Names {
    /// None where no rule has a name.
    pub(super) fn of(policy: &Policy) -> Result<Option<Names>, CompileError> {
        let mut patterns: BTreeMap<&str, &str> = BTreeMap::new();
        for rule in policy.blocks.iter().flat_map(|b| &b.rules) {
            if let Object::Net { addresses: Addresses::Dns(name), .. } = &rule.object {
                patterns.entry(name).or_insert(&rule.origin);
            }
        }
        if patterns.is_empty() {
            return Ok(None);
        }
        let mut nfa = Nfa::new();
        let root = nfa.root();
        for ((text, origin), number) in patterns.iter().zip(0..) {
            let pattern =
                Pattern::parse(text).map_err(|error| CompileError::Glob { origin: (*origin).to_owned(), error })?;
            nfa.add(root, &pattern, number);
        }
        let texts: Vec<&str> = patterns.into_keys().collect();
        let mut sets: Vec<BTreeSet<String>> = Vec::new();
        let mut subset = Subset::new(&nfa, nfa.classes(), Limits::default());
        subset.start(&[root], |ids| {
            let set = ids.iter().map(|id| texts[*id as usize].to_owned()).collect();
            let place = sets.iter().position(|s| *s == set).unwrap_or_else(|| {
                sets.push(set);
                sets.len() - 1
            });
            place as u32 + 1
        })?;
        if sets.len() > NAME_SETS {
            return Err(CompileError::Names(NAME_SETS));
        }
        let key = key(&sets);
        Ok(Some(Names { automaton: subset.finish(), key, sets }))
    }

    /// How many sets there are.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// The numbers of the sets that a pattern is in.
    pub(super) fn with<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = u8> + 'a {
        (1..=u8::MAX).zip(&self.sets).filter(move |(_, set)| set.contains(pattern)).map(|(number, _)| number)
    }
}

fn key(sets: &[BTreeSet<String>]) -> u64 {
    let text: Vec<String> = sets.iter().map(|set| format!("{set:?}")).collect();
    let digest = Digest::of(text.join("\n").as_bytes());
    let bytes: [u8; 8] = std::array::from_fn(|n| digest.as_bytes()[n]);
    u64::from_le_bytes(bytes) & !0xff
}
