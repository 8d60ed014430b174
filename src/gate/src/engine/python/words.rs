//! White space and letter case.

use super::tables::YOUNG_CASED;
use crate::engine::json::next_point;

/// `str.isspace` for one code point; also what `\s` matches and `str.strip` removes.
pub fn is_space(point: u32) -> bool {
    matches!(
        point,
        9..=13 | 0x1c..=0x20 | 0x85 | 0xa0 | 0x1680 | 0x2000..=0x200a | 0x2028 | 0x2029 | 0x202f | 0x205f | 0x3000
    )
}

/// How many bytes of white space stand at the start.
pub fn leading_space(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some((point, length)) = next_point(&bytes[at..]) {
        if !is_space(point) {
            break;
        }
        at += length;
    }
    at
}

/// `str.strip()`.
#[inline]
pub fn strip(bytes: &[u8]) -> &[u8] {
    // Most text neither starts nor ends with anything that could be white space.
    match (bytes.first(), bytes.last()) {
        (Some(0x21..0x7f), Some(0x21..0x7f)) => return bytes,
        (None, _) => return bytes,
        _ => {}
    }
    let bytes = &bytes[leading_space(bytes)..];
    let mut end = bytes.len();
    while end > 0 {
        let start = bytes[..end].iter().rposition(|b| (*b as i8) >= -0x40).unwrap_or(0);
        match next_point(&bytes[start..end]) {
            Some((point, _)) if is_space(point) => end = start,
            _ => break,
        }
    }
    &bytes[..end]
}

/// `str.lower()` of `out[from..]`.
#[inline]
pub fn lower_in_place(out: &mut Vec<u8>, from: usize) {
    if out[from..].is_ascii() {
        out[from..].make_ascii_lowercase();
        return;
    }
    let original = out.split_off(from);
    // Letters without a lower case in Unicode 14, and lone surrogates, are neither cased nor ignorable: no rule that
    // looks at neighbours (the final sigma) sees past them, so the text may be cut there.
    let (mut start, mut at) = (0, 0);
    while let Some((point, length)) = next_point(&original[at..]) {
        let foreign = (0xd800..0xe000).contains(&point) || YOUNG_CASED.iter().any(|(a, b)| (*a..=*b).contains(&point));
        if foreign {
            lower_valid(&original[start..at], out);
            out.extend_from_slice(&original[at..at + length]);
            start = at + length;
        }
        at += length;
    }
    lower_valid(&original[start..], out);
}

fn lower_valid(bytes: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => out.extend_from_slice(text.to_lowercase().as_bytes()),
        Err(_) => out.extend_from_slice(bytes),
    }
}

/// Text as a case-insensitive search for ASCII letters sees it: ASCII lower case, and the four characters outside
/// ASCII that `re.IGNORECASE` takes for `i`, `s` and `k` as those letters.
pub fn fold_for_case_insensitive(bytes: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(bytes);
    if !bytes.is_ascii() {
        out.clear();
        let mut rest = bytes;
        while let Some((point, length)) = next_point(rest) {
            match point {
                0x130 | 0x131 => out.push(b'i'),
                0x17f => out.push(b's'),
                0x212a => out.push(b'k'),
                _ => out.extend_from_slice(&rest[..length]),
            }
            rest = &rest[length..];
        }
    }
    out.make_ascii_lowercase();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lower(text: &str) -> String {
        let mut out = text.as_bytes().to_vec();
        lower_in_place(&mut out, 0);
        String::from_utf8(out).expect("UTF-8 stays UTF-8")
    }

    #[test]
    fn lower_follows_unicode_14() {
        assert_eq!(lower("ΑΣ ΑΣΑ İ K"), "ας ασα i\u{307} k");
        assert_eq!(lower("A\u{a7da}B"), "a\u{a7da}b");
        assert_eq!(lower("AΣ\u{10d50}"), "aς\u{10d50}");
    }

    #[test]
    fn strip_takes_the_separators_too() {
        assert_eq!(strip("\u{1c}\u{85} a b\u{3000}\n".as_bytes()), b"a b");
        assert_eq!(strip(b" \x1f "), b"");
        assert_eq!(strip("\u{feff}x".as_bytes()), "\u{feff}x".as_bytes());
    }
}
