//! Literal text within PDL's patterns.

/// A pattern of PDL that matches `text` and nothing else (docs/pdl.md, "Patterns").
pub fn quote_pattern(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
