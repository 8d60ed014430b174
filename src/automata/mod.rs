//! Globs and address regions to one minimal deterministic automaton with byte classes, and what can be asked of
//! such automata: emptiness, intersection, difference, the shortest witness. Pure.

mod bytes;
pub mod glob;

pub use bytes::{ByteClasses, ByteSet};
pub use glob::{GlobError, Pattern};
