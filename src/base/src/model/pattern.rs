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

/// A pattern as PDL's text has it, in quotes. Backslashes quote within it already; a bare quote gets one.
pub fn pattern_in_quotes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 2);
    out.push('"');
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push(c);
                out.push(chars.next().unwrap_or(c));
            }
            '"' => out.push_str("\\\""),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The template whose instances, and nothing else, a pattern of units matches: `web@.service` of `web@*.service`.
pub fn template_of_pattern(pattern: &str) -> Option<String> {
    let (name, rest) = pattern.split_once('@')?;
    let name = literal_of_pattern(name).filter(|name| !name.is_empty())?;
    matches!(rest, "*.service" | "**.service").then(|| format!("{name}@.service"))
}

/// The one text that a pattern of PDL matches, where it has no wildcard: what [`quote_pattern`] undoes.
pub fn literal_of_pattern(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '[' | '{' => return None,
            '\\' => out.push(chars.next()?),
            _ => out.push(c),
        }
    }
    Some(out)
}
