//! The normal form of a policy: imports, lets, abstractions and parameters resolved, objects parsed and
//! checked. The reference evaluator, the JSON form and the compiler read this and nothing else. Pure.

mod check;
#[cfg(test)]
mod corpus;
pub mod detour;
mod digest;
pub mod eval;
pub mod glob;
pub mod json;
mod load;
pub mod normal;
mod print;
pub(crate) mod resolve;
pub mod syscalls;

pub use digest::digest;
pub use load::{Loaded, load, load_with_warnings};
pub use print::to_pdl;
