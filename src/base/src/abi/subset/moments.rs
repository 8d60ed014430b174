//! Which subjects decide for a pair at the moments of a week.

use std::collections::BTreeMap;

use crate::abi::Tables;
use crate::abi::layout::{NO_WINDOW, S_TIMED};
use crate::abi::subset::wider::Wider;
use crate::model::Window;
use crate::window::joint::reachable;

/// Sets of windows that are looked at for one pair.
const MOST: usize = 4096;

/// The pairs that decide for `a` of the one tables and `b` of the other, each with a moment in words; that of the pair itself,
/// which decides where nobody knows the time, has none.
pub(super) fn deciding(
    (before, after): (&Tables, &Tables),
    (a, b): (u32, u32),
) -> Result<BTreeMap<(u32, u32), String>, Wider> {
    let mut pairs = BTreeMap::from([((a, b), String::new())]);
    // Windows that are defined alike are one.
    let mut windows: Vec<&Window> = Vec::new();
    let mut place = |window| {
        let found = windows.iter().position(|w| *w == window);
        found.unwrap_or_else(|| {
            windows.push(window);
            windows.len() - 1
        })
    };
    let mine: Vec<(u64, usize)> = listed(before, a).into_iter().map(|(bit, window)| (bit, place(window))).collect();
    let other: Vec<(u64, usize)> = listed(after, b).into_iter().map(|(bit, window)| (bit, place(window))).collect();
    if windows.is_empty() {
        return Ok(pairs);
    }
    let bits = windows.iter().enumerate().map(|(n, window)| (1u64 << n, *window));
    let sets = reachable(bits, MOST).ok_or(Wider::TooMuch("too many sets of windows"))?;
    let open = |own: &[(u64, usize)], set: u64| {
        own.iter().filter(|(_, place)| set >> place & 1 != 0).fold(0, |all, (bit, _)| all | bit)
    };
    for (set, at) in sets {
        let (x, y) = (Some(open(&mine, set)), Some(open(&other, set)));
        let pair = (before.kernel.deciding(a, x, None), after.kernel.deciding(b, y, None));
        pairs.entry(pair).or_insert_with(|| format!(" on {at}"));
    }
    Ok(pairs)
}

/// The windows that matter to a subject, with their bits.
fn listed(tables: &Tables, subject: u32) -> Vec<(u64, &Window)> {
    let Some(s) = tables.kernel.subject(subject).filter(|s| s.flags & S_TIMED != 0) else { return Vec::new() };
    let numbers = s.window.into_iter().filter(|n| *n != NO_WINDOW);
    numbers.filter_map(|n| Some((1 << n, &tables.metadata.windows.get(usize::from(n))?.window))).collect()
}
