//! Names of what is remembered.

use std::hash::{BuildHasher, Hasher};

/// A 128-bit name of the parts. Collisions by chance do not happen; by intent, a producer could at worst make two of its
/// own processes share a load.
pub(super) fn hash(parts: &[&[u8]]) -> u128 {
    let half = |seed: u64| {
        let mut hasher = foldhash::quality::FixedState::with_seed(seed).build_hasher();
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    };
    u128::from(half(0x6b69_6c6e)) << 64 | u128::from(half(0x6761_7465))
}
