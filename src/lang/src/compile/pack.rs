//! A minimal automaton to words: row displacement with default transitions (Tarjan and Yao, "Storing a sparse
//! table", CACM 22:11, 1979). Each row is put at the first place where its entries fall on free words.

use kiln_base::abi::layout::FINAL;

use crate::automata::Dfa;

/// An automaton as words.
pub(super) struct Packed {
    /// Per state its place, counted from the first word of all words. The dead state is at 0.
    pub(super) place: Vec<u32>,
    /// The words from `base` on.
    pub(super) words: Vec<u64>,
}

/// How many places a row is tried at before it goes to the end.
const TRIES: usize = 4096;

/// Packs for words that begin at `base` and end at `most`; beyond, the error is how many words are needed at least.
/// Every accept must be below `base`, so that no head of a row can be taken for an entry of another.
pub(super) fn pack(dfa: &Dfa, base: usize, most: usize) -> Result<Packed, usize> {
    let n = dfa.len();
    let mut place = vec![0u32; n];
    let mut taken: Vec<bool> = Vec::new();
    let mut first_free = 0;
    let mut rows = Vec::with_capacity(n);
    let mut need = base;
    // The order is breadth first, so that what is walked together lies together.
    for state in 1..n as u32 {
        let (default, entries) = sparse(dfa, state);
        need += 1 + entries.len();
        if need.max(base + taken.len()) > most {
            let rest = (state..n as u32).map(|s| 1 + sparse(dfa, s).1.len()).sum::<usize>();
            return Err(need + rest);
        }
        while taken.get(first_free).copied().unwrap_or(false) {
            first_free += 1;
        }
        let free = |at: usize, taken: &[bool]| !taken.get(at).copied().unwrap_or(false);
        let fits = |at: &usize| {
            free(*at, &taken) && entries.iter().all(|(class, _)| free(at + 1 + usize::from(*class), &taken))
        };
        let at = (first_free..first_free + TRIES).find(fits).unwrap_or_else(|| {
            // Nothing of this size fits near here any more.
            let end = taken.len().max(first_free);
            first_free = end.saturating_sub(TRIES / 2).max(first_free);
            end
        });
        let end = at + 1 + entries.last().map_or(0, |e| usize::from(e.0) + 1);
        if taken.len() < end {
            taken.resize(end, false);
        }
        taken[at] = true;
        entries.iter().for_each(|(class, _)| taken[at + 1 + usize::from(*class)] = true);
        place[state as usize] = (base + at) as u32;
        rows.push((state, default, entries));
    }
    // Behind the last row any class must still be readable.
    let mut words = vec![0u64; taken.len() + dfa.classes().len() + 1];
    let at = |state: u32| place[state as usize];
    for (state, default, entries) in &rows {
        let s = at(*state);
        let local = s as usize - base;
        let stays = *default == *state && entries.is_empty();
        let accept = dfa.accept(*state) | if stays { FINAL } else { 0 };
        words[local] = u64::from(at(*default)) | u64::from(accept) << 32;
        for (class, next) in entries {
            words[local + 1 + usize::from(*class)] = u64::from(at(*next)) | u64::from(s) << 32;
        }
    }
    Ok(Packed { place, words })
}

/// The most frequent next state of a row, and what differs from it.
fn sparse(dfa: &Dfa, state: u32) -> (u32, Vec<(u8, u32)>) {
    let row = dfa.row(state);
    let classes = dfa.classes().len();
    let mut targets: Vec<u32> = row.iter().map(|e| e.1).collect();
    targets.sort_unstable();
    let mut default = (classes - row.len(), 0);
    for group in targets.chunk_by(|a, b| a == b) {
        if group.len() > default.0 {
            default = (group.len(), group[0]);
        }
    }
    let default = default.1;
    if default == 0 {
        return (0, row.to_vec());
    }
    let all = (0..classes).map(|c| (c as u8, dfa.next(state, c as u8)));
    (default, all.filter(|(_, next)| *next != default).collect())
}
