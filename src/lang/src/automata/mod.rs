//! Globs and address regions to one minimal deterministic automaton with byte classes, and what can be asked of
//! such automata: emptiness, intersection, difference, the shortest witness. Pure.

mod bytes;
mod dfa;
pub mod glob;
#[cfg(test)]
mod laws;
mod minimize;
mod nfa;
mod product;
pub mod region;
mod subset;

pub use bytes::{ByteClasses, ByteSet};
pub use dfa::{Dfa, Limits, TooLarge};
pub use glob::{GlobError, Pattern};
pub use nfa::Nfa;
pub use product::Combine;
pub use subset::Subset;
