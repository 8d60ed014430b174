//! The text of a unit file (systemd.syntax(7)).

use serde::Serialize;

use crate::manifest::Origin;

/// Longest logical line, continuations joined (LONG_LINE_MAX of systemd's fileio.h).
pub const MAX_LINE: usize = 1 << 20;

/// One `Key=Value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// `Service` of `[Service]`.
    pub section: String,
    /// The key.
    pub key: String,
    /// The value, continuations joined by a blank, ends trimmed; empty resets lists.
    pub value: String,
    /// Where the assignment begins.
    pub origin: Origin,
}

/// What a unit file says, and the lines that were passed over, as systemd passes them over with a warning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// Assignments in order.
    pub entries: Vec<Entry>,
    /// Where and why.
    pub ignored: Vec<(Origin, &'static str)>,
}

/// Parses the text of the unit file `file`.
pub fn parse(file: &str, text: &str) -> Parsed {
    let mut out = Parsed::default();
    let mut section = String::new();
    let mut pending: Option<(u32, String)> = None;
    for (n, raw) in (1u32..).zip(text.lines()) {
        let trimmed = raw.trim_start();
        // Comment lines within a continued assignment are dropped, the assignment goes on behind them.
        if trimmed.starts_with('#') || trimmed.starts_with(';') {
            continue;
        }
        let (start, mut line) = pending.take().unwrap_or((n, String::new()));
        if line.len() + raw.len() > MAX_LINE {
            out.ignored.push((Origin::line(file, start), "line is longer than 1 MiB"));
            continue;
        }
        match raw.strip_suffix('\\') {
            Some(head) => {
                line.push_str(head);
                line.push(' ');
                pending = Some((start, line));
            }
            None => {
                line.push_str(raw);
                logical(file, start, &line, &mut section, &mut out);
            }
        }
    }
    if let Some((start, line)) = pending {
        logical(file, start, &line, &mut section, &mut out);
    }
    out
}

fn logical(file: &str, n: u32, line: &str, section: &mut String, out: &mut Parsed) {
    let line = line.trim();
    if line.is_empty() {
        return;
    }
    let origin = Origin::line(file, n);
    if let Some(rest) = line.strip_prefix('[') {
        match rest.strip_suffix(']') {
            Some(name) => name.clone_into(section),
            None => out.ignored.push((origin, "section header without `]`")),
        }
        return;
    }
    match line.split_once('=') {
        Some(_) if section.is_empty() => out.ignored.push((origin, "assignment outside a section")),
        Some((key, value)) => out.entries.push(Entry {
            section: section.clone(),
            key: key.trim_end().to_owned(),
            value: value.trim_start().to_owned(),
            origin,
        }),
        None => out.ignored.push((origin, "line without `=`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sections_comments_and_continuations() {
        let text = "; c\n[Unit]\nA=1\n[Service]\nExecStart=/bin/a \\\n# between\n  b \\\n  c\nEmpty=\nnonsense\n[open\nB = x = y \nLast=z\\";
        let parsed = parse("u.service", text);
        let got: Vec<_> =
            parsed.entries.iter().map(|e| format!("{} {} {:?} {}", e.section, e.key, e.value, e.origin)).collect();
        assert_eq!(
            got,
            [
                "Unit A \"1\" u.service:3",
                "Service ExecStart \"/bin/a    b    c\" u.service:5",
                "Service Empty \"\" u.service:9",
                "Service B \"x = y\" u.service:12",
                "Service Last \"z\" u.service:13",
            ]
        );
        assert_eq!(parsed.ignored.len(), 2);
    }

    #[test]
    fn long_lines_are_refused_not_kept() {
        let text = format!("[Service]\nExecStart=/bin/{}\nUser=a\n", "x".repeat(2 << 20));
        let parsed = parse("u", &text);
        assert_eq!(parsed.entries.len(), 1);
        assert_eq!(parsed.ignored.len(), 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|[\\n\\\\=\\[\\]#;])*") {
            let parsed = parse("u", &text);
            for e in parsed.entries {
                prop_assert!(!e.section.is_empty() && !e.key.contains('\n'));
            }
        }
    }
}
