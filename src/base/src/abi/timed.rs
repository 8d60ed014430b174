//! The checks on what hangs on the time and the user: that each moment leads to a subject that may stand in for the one
//! asked for.

use std::collections::BTreeMap;

use super::error::{TablesError, ensure};
use super::kernel::Kernel;
use super::layout::{
    NO_WINDOW, S_TIMED, S_USER, S_VARIES, SUBJECT_WINDOWS, Subject, UNSURE_WINDOW, USER_SELECTORS, WINDOWS,
};
use super::metadata::Metadata;

pub(super) fn check(kernel: &Kernel, metadata: &Metadata) -> Result<(), TablesError> {
    let h = &kernel.header;
    let (first, end) = (h.n_subjects, h.n_subjects + h.n_variants);
    ensure(metadata.windows.len() <= WINDOWS, "the number of windows", metadata.windows.len() as u64)?;
    users(kernel, metadata)?;
    let refs_end = u64::from(h.outcome_refs_off) + u64::from(h.n_outcome_refs).div_ceil(2);
    let rows = refs_end..refs_end + u64::from(h.n_rows);
    // For which subject each variant decides.
    let mut whose = vec![0u32; h.n_variants as usize];
    for n in 1..first {
        let s = kernel.subject(n).unwrap_or_default();
        if s.flags & S_VARIES == 0 {
            ensure(s.row == 0 && s.window == [0; SUBJECT_WINDOWS], "the windows of subject", n)?;
            continue;
        }
        let used = s.window.iter().take_while(|w| **w != NO_WINDOW).count();
        let (windows, rest) = s.window.split_at(used);
        let [timed, by_user] = [S_TIMED, S_USER].map(|flag| s.flags & flag != 0);
        let window = |w: &u8| usize::from(*w) < metadata.windows.len();
        let user = |w: &u8| usize::from(*w).checked_sub(WINDOWS).is_some_and(|n| n < metadata.users.len());
        let unsure = |w: &u8| *w == UNSURE_WINDOW;
        let known = windows.iter().all(|w| window(w) || user(w) || unsure(w));
        let known = known && windows.iter().any(window) == timed && windows.iter().any(user) == by_user;
        let known = known && windows.iter().any(unsure) == (timed && by_user);
        let good = known && windows.is_sorted_by(|a, b| a < b) && rest.iter().all(|w| *w == NO_WINDOW);
        ensure(good, "the windows of subject", n)?;
        let (row, len) = (u64::from(s.row), 1u64 << used);
        ensure(rows.contains(&row) && row + len <= rows.end, "the row of subject", n)?;
        for entry in kernel.words.get(row as usize..(row + len) as usize).unwrap_or_default() {
            if *entry == 0 {
                continue;
            }
            let stands_in = u32::try_from(*entry).ok().filter(|v| (first..end).contains(v)).unwrap_or(0);
            ensure(stands_in != 0, "an entry of a row", *entry)?;
            let owner = &mut whose[(stands_in - first) as usize];
            ensure(*owner == 0 || *owner == n, "the owner of variant", stands_in)?;
            *owner = n;
            let v = kernel.subject(stands_in).unwrap_or_default();
            ensure(may_stand_in(&s, &v), "a field of variant", stands_in)?;
        }
    }
    let idle = whose.iter().position(|owner| *owner == 0);
    ensure(idle.is_none(), "the owner of variant", first + idle.unwrap_or(0) as u32)
}

/// The users are those of the description, and each once.
fn users(kernel: &Kernel, metadata: &Metadata) -> Result<(), TablesError> {
    let n = metadata.users.len();
    ensure(n <= USER_SELECTORS, "the number of selectors of users", n as u64)?;
    let mut described = BTreeMap::new();
    for (bit, selector) in metadata.users.iter().enumerate() {
        for uid in &selector.uids {
            *described.entry(*uid).or_insert(0u64) |= 1 << bit;
        }
    }
    let h = &kernel.header;
    let words = kernel.words.get(h.users_off as usize..(h.users_off + h.n_users) as usize).unwrap_or_default();
    let same = words.iter().copied().eq(described.iter().map(|(uid, bits)| u64::from(*uid) | bits << 32));
    ensure(same, "the users that selectors match", h.n_users)
}

/// Whether all that is looked at before the time, and what does not hang on it, is the same.
fn may_stand_in(s: &Subject, v: &Subject) -> bool {
    v.flags == s.flags
        && v.verbs & !s.verbs == 0
        && (v.exec_start, v.unit_start, v.quarantine) == (s.exec_start, s.unit_start, s.quarantine)
        && v.row == 0
        && v.window == [0; SUBJECT_WINDOWS]
}
