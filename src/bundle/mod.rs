//! Digests, keys, signatures and their verification.
