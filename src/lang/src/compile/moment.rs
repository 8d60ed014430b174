//! What hangs on the time and the user: which windows matter to a subject, which sets of them can be open at once, and
//! what of its blocks holds then for whom.

use std::collections::BTreeSet;

use kiln_base::abi::layout::{SUBJECT_WINDOWS, UNSURE_WINDOW, WINDOWS};
use kiln_base::window::joint;

use super::CompileError;
use super::rules::{Entry, Rules};
use super::users::{Selectors, shifted};
use crate::policy::normal::{BlockKind, Effect, Policy};

/// When is asked, and who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Which windows are open, bit n for the n-th of the policy; none where that is not known.
    pub(super) open: Option<u64>,
    /// Which selectors match the user, bit n for the n-th; none where that is not known.
    pub(super) user: Option<u64>,
}

impl Moment {
    /// Nobody knows what is open and who asks: what permits by a window or a user does not hold, what refuses does.
    pub(super) const UNKNOWN: Moment = Moment { open: None, user: None };

    /// The moment of a set of bits as a subject names them.
    fn of(bits: u64) -> Moment {
        let open = (bits >> UNSURE_WINDOW & 1 == 0).then_some(bits & ((1 << WINDOWS) - 1));
        Moment { open, user: Some(bits >> WINDOWS & ((1 << (UNSURE_WINDOW as usize - WINDOWS)) - 1)) }
    }

    /// Whether the rule's conditions let it match.
    pub(super) fn holds(self, entry: &Entry<'_>) -> bool {
        [(entry.windows, self.open), (entry.users, self.user)].into_iter().all(|(wanted, there)| match there {
            Some(there) => wanted & !there == 0,
            None => wanted == 0 || entry.effect != Effect::Allow,
        })
    }

    /// Whether the block binds who asks. It does where that is not known.
    pub(super) fn binds(self, rules: &Rules<'_>, block: usize) -> bool {
        let clauses = &rules.users[block];
        clauses.is_empty() || self.user.is_none_or(|user| clauses.iter().any(|clause| clause & !user == 0))
    }

    /// Whether the block is outside its `active during`. A guard is only if that is known.
    pub(super) fn closed(self, rules: &Rules<'_>, block: usize) -> bool {
        match (rules.active[block], self.open) {
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

/// The selectors of users that matter to a subject of these blocks, as bits.
pub(super) fn users(rules: &Rules<'_>, blocks: &[usize]) -> u64 {
    let of_rules = blocks.iter().flat_map(|b| rules.of_block(*b)).map(|(_, e)| e.users);
    of_rules.chain(blocks.iter().flat_map(|b| rules.users[*b].iter().copied())).fold(0, |all, bits| all | bits)
}

/// The bits that a subject names, and the moments that differ by them with theirs.
pub(super) fn moments(policy: &Policy, selectors: &Selectors, windows: u64, users: u64) -> (u64, Vec<(u64, Moment)>) {
    let unsure = if windows != 0 && users != 0 { 1 << UNSURE_WINDOW } else { 0 };
    let mut opened = reachable(policy, windows);
    opened.extend(Some(unsure).filter(|u| *u != 0));
    let of_user = selectors.reachable(users);
    let sets: BTreeSet<u64> = opened.iter().flat_map(|o| of_user.iter().map(move |u| o | shifted(*u))).collect();
    (windows | shifted(users) | unsure, sets.into_iter().map(|bits| (bits, Moment::of(bits))).collect())
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
