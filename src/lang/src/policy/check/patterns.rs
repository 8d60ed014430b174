//! The patterns of a policy, each compiled once for all checks.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::glob::{Budget, Matcher};

/// Compiled patterns, and how much searching is left.
#[derive(Default)]
pub(super) struct Patterns {
    compiled: HashMap<String, Option<Rc<Matcher>>>,
    pub(super) budget: Budget,
}

impl Patterns {
    /// None for a malformed pattern, which was complained about where it stands.
    pub(super) fn get(&mut self, pattern: &str) -> Option<Rc<Matcher>> {
        if let Some(known) = self.compiled.get(pattern) {
            return known.clone();
        }
        let matcher = Matcher::new(pattern).ok().map(Rc::new);
        self.compiled.insert(pattern.to_owned(), matcher.clone());
        matcher
    }
}
