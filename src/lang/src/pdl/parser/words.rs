//! Words by which the parser knows where it is.

use kiln_base::model::Verb;

/// The words that start an item.
pub(super) const ITEMS: &[&str] = &["import", "let", "window", "abstraction", "profile", "guard"];
/// The words that start a statement.
pub(super) const STATEMENTS: &[&str] =
    &["subject", "mode", "governs", "active", "on", "use", "limit", "allow", "deny", "watch", "never"];
/// Every verb, and `write`, which is not one but four of them and stands before those.
pub(super) const CLASSES: &[&str] = &{
    let (mut words, mut at) = ([""; Verb::ALL.len() + 1], 0);
    while at < Verb::ALL.len() {
        words[if at == 0 { 0 } else { at + 1 }] = Verb::ALL[at].name();
        at += 1;
    }
    words[1] = "write";
    words
};
