//! Checks over the whole policy.

use crate::pdl::Diagnostics;

use super::normal::Policy;
use super::resolve::BlockPlaces;

/// Adds what is wrong with the policy as a whole.
pub(super) fn check(_policy: &Policy, _places: &[BlockPlaces], _found: &mut Diagnostics) {}
