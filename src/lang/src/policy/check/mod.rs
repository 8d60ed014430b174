//! Checks over the whole policy: what each statement alone cannot show.

mod leaning;
mod overlap;
mod rules;
mod subjects;

use std::collections::HashMap;
use std::rc::Rc;

use crate::pdl::{Code, Diagnostic, Diagnostics};

use super::glob::{Budget, Matcher};
use super::normal::Policy;
use super::resolve::BlockPlaces;

/// Compiled patterns, and how much searching is left.
#[derive(Default)]
struct Patterns {
    compiled: HashMap<String, Option<Rc<Matcher>>>,
    budget: Budget,
}

impl Patterns {
    /// None for a malformed pattern, which was complained about where it stands.
    fn get(&mut self, pattern: &str) -> Option<Rc<Matcher>> {
        if let Some(known) = self.compiled.get(pattern) {
            return known.clone();
        }
        let matcher = Matcher::new(pattern).ok().map(Rc::new);
        self.compiled.insert(pattern.to_owned(), matcher.clone());
        matcher
    }
}

/// Adds what is wrong with the policy as a whole.
pub(super) fn check(policy: &Policy, places: &[BlockPlaces], found: &mut Diagnostics) {
    let mut patterns = Patterns::default();
    subjects::overlaps(policy, places, &mut patterns, found);
    rules::check(policy, places, &mut patterns, found);
    if patterns.budget.exhausted() {
        let place = places.first().map(|p| p.name.clone());
        let (file, span) = place.map_or((0, 0..0), |p| (p.file, p.span));
        found.push(
            Diagnostic::error(Code::TooMany, file, span, "the policy is too complex to check")
                .because("comparing its patterns with each other would take too long")
                .mend("use fewer or simpler patterns"),
        );
    }
}
