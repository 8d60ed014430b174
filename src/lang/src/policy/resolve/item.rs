//! What values come to.

use std::ops::Range;

/// One value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub kind: ItemKind,
    pub module: usize,
    pub span: Range<usize>,
}

/// What the value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ItemKind {
    /// A string, backslashes kept.
    Text(String),
    /// A number or range of numbers.
    Range(u64, u64),
}
