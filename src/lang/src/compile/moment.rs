//! What hangs on the time: which windows matter to a subject, which sets of them can be open at once, and what of its
//! blocks holds then.

use std::collections::BTreeSet;

use kiln_base::abi::layout::{SUBJECT_WINDOWS, WINDOWS};
use kiln_base::window::joint;

use super::CompileError;
use super::rules::{Entry, Rules};
use crate::policy::normal::{BlockKind, Effect, Policy};

/// Which windows are open, bit n for the n-th of the policy; none where that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Option<u64>);

impl Moment {
    /// Nobody knows what is open: what permits by a window does not hold, what refuses by one does.
    pub(super) const UNKNOWN: Moment = Moment(None);

    /// Whether the rule's windows let it match.
    pub(super) fn holds(self, entry: &Entry<'_>) -> bool {
        match self.0 {
            Some(open) => entry.windows & !open == 0,
            None => entry.windows == 0 || entry.effect != Effect::Allow,
        }
    }

    /// Whether the block is outside its `active during`. A guard is only if that is known.
    pub(super) fn closed(self, rules: &Rules<'_>, block: usize) -> bool {
        match (rules.active[block], self.0) {
            (None, _) => false,
            (Some(window), Some(open)) => open & window == 0,
            (Some(_), None) => rules.blocks[block].kind == BlockKind::Profile,
        }
    }
}

/// The windows that matter to a subject of these blocks, as bits.
pub(super) fn windows(rules: &Rules<'_>, blocks: &[usize]) -> u64 {
    let of_rules = blocks.iter().flat_map(|b| rules.of_block(*b)).map(|(_, e)| e.windows);
    of_rules.chain(blocks.iter().filter_map(|b| rules.active[*b])).fold(0, |all, bits| all | bits)
}

/// The bits of a mask, the lowest first.
pub(super) fn bits(mask: u64) -> Vec<u8> {
    (0..64).filter(|n| mask >> n & 1 != 0).collect()
}

/// What no table has room for.
pub(super) fn check(policy: &Policy) -> Result<(), CompileError> {
    if policy.windows.len() > WINDOWS { Err(CompileError::Windows { most: WINDOWS, of: None }) } else { Ok(()) }
}

/// Every set of these windows that can be open at some moment, and perhaps others.
pub(super) fn reachable(policy: &Policy, windows: u64) -> BTreeSet<u64> {
    let all = policy.windows.values().enumerate().map(|(n, window)| (1 << n, window));
    let chosen = all.filter(|(bit, _)| windows & bit != 0);
    joint::reachable(chosen, usize::MAX).unwrap_or_default().into_keys().collect()
}

/// The windows of a subject as the tables have them.
///
/// # Errors
/// If there are more than fit.
pub(super) fn listed(mask: u64, key: impl FnOnce() -> String) -> Result<[u8; SUBJECT_WINDOWS], CompileError> {
    let bits = bits(mask);
    if bits.len() > SUBJECT_WINDOWS {
        return Err(CompileError::Windows { most: SUBJECT_WINDOWS, of: Some(key()) });
    }
    let mut out = [kiln_base::abi::layout::NO_WINDOW; SUBJECT_WINDOWS];
    out[..bits.len()].copy_from_slice(&bits);
    Ok(out)
}

/// The entry of a row for a set of open windows.
pub(super) fn place(windows: u64, open: u64) -> usize {
    bits(windows).into_iter().enumerate().fold(0, |at, (n, bit)| at | ((open >> bit) as usize & 1) << n)
}
