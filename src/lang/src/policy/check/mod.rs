//! Checks over the whole policy: what each statement alone cannot show.

mod leaning;
mod overlap;
mod patterns;
mod rules;
mod subjects;

use crate::pdl::{Code, Diagnostic, Diagnostics};

use super::normal::Policy;
use super::resolve::BlockPlaces;
use patterns::Patterns;

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
