//! "Did you mean": the closest of some words.

/// The word with the least edit distance, if it is near enough to be meant.
pub fn closest<'w>(word: &str, among: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let limit = (word.len() / 3).clamp(1, 3);
    among
        .into_iter()
        .filter(|w| w.len().abs_diff(word.len()) <= limit)
        .map(|w| (distance(word.as_bytes(), w.as_bytes()), w))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, w)| w)
}

/// Edit distance over bytes with swaps of neighbours (optimal string alignment). Both words are short: see the length
/// filter and the cut.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let (a, b) = (&a[..a.len().min(64)], &b[..b.len().min(64)]);
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(x != y)).min(row[j] + 1).min(rows[i][j + 1] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_only() {
        assert_eq!(closest("conect", ["connect", "accept"]), Some("connect"));
        assert_eq!(closest("prot", ["port", "to"]), Some("port"), "swapped letters are one mistake");
        assert_eq!(closest("profil", ["profile", "guard"]), Some("profile"));
        assert_eq!(closest("xyz", ["read", "exec"]), None);
    }
}
