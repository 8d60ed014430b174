//! The canonical layout.

use super::diagnostic::Diagnostic;
use super::parser::parse;

/// The text in canonical layout, comments kept.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let parsed = parse(text, 0);
    if parsed.errors.is_empty() { Ok(parsed.syntax().to_string()) } else { Err(parsed.errors) }
}
