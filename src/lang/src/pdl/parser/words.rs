//! Words by which the parser knows where it is.

/// The words that start an item.
pub(super) const ITEMS: &[&str] = &["import", "let", "window", "abstraction", "profile", "guard"];
/// The words that start a statement.
pub(super) const STATEMENTS: &[&str] =
    &["subject", "mode", "governs", "active", "on", "use", "limit", "allow", "deny", "watch", "never"];
pub(super) const CLASSES: &[&str] = &[
    "read",
    "write",
    "modify",
    "create",
    "delete",
    "setattr",
    "exec",
    "load",
    "bind",
    "connect",
    "accept",
    "capability",
    "kernel",
    "syscall",
];
