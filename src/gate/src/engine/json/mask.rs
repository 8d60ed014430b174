//! Where a text's special bytes are, sixty-four at a time.

use wide::i8x16;

/// How many bytes one mask is about.
pub(super) const BLOCK: usize = 64;

/// A bit for each byte that does not simply stand for itself within a JSON string: quote, backslash, control
/// character, DEL, and whatever is not ASCII.
#[inline(always)]
pub(super) fn special(block: &[u8; BLOCK]) -> u64 {
    let (quarters, _) = block.as_chunks();
    quarters.iter().enumerate().fold(0, |mask, (i, quarter)| mask | u64::from(special_of(quarter)) << (16 * i))
}

#[inline(always)]
fn special_of(bytes: &[u8; 16]) -> u32 {
    // As signed numbers, the control characters and all beyond ASCII are less than a space.
    let bytes = i8x16::new(bytes.map(|b| b as i8));
    let found = bytes.simd_lt(i8x16::splat(0x20))
        | bytes.simd_eq(i8x16::splat(b'"' as i8))
        | bytes.simd_eq(i8x16::splat(b'\\' as i8))
        | bytes.simd_eq(i8x16::splat(0x7f));
    found.to_bitmask()
}

/// Whether the bytes are their own JSON: printable ASCII, no quote and no backslash.
#[inline]
pub fn is_plain(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks();
    chunks.iter().all(|chunk| special_of(chunk) == 0)
        && match bytes.last_chunk() {
            Some(last) => special_of(last) == 0,
            None => rest.iter().fold(true, |plain, b| plain & (*b >= 0x20 && *b < 0x7f && *b != b'"' && *b != b'\\')),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..BLOCK {
                let mut block = [b'a'; BLOCK];
                block[place] = byte;
                let wanted = !(0x20..0x7f).contains(&byte) || byte == b'"' || byte == b'\\';
                assert_eq!(special(&block), u64::from(wanted) << place, "{byte} at {place}");
                for length in place + 1..BLOCK {
                    assert_eq!(is_plain(&block[..length]), !wanted, "{byte} at {place} of {length}");
                }
                assert!(is_plain(&block[..place]));
            }
        }
    }
}
