//! The tree with types. Every accessor may find nothing, because a tree exists for every text.

mod child;
mod choice;
mod node;
mod own;
mod text;

pub use choice::{Object, Statement, Value};
pub use node::*;
pub use text::{inner, plain, token_span};
