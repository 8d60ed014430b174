//! Lines of a batch.

use crate::engine::python::strip;

/// The longest line that is read, in bytes; a longer one is an error, and is not kept.
pub const MAX_LINE: usize = 16 << 20;

/// The lines of `batch`, stripped of white space, without the blank ones. A carriage return ends a line too: the
/// reference reads text with universal newlines, and JSON has no bare one within a value.
pub fn lines(batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = batch;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = strip(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or(&[]);
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    })
}
