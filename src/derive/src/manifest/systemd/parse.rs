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

/// Parses the text of the unit file `file` (config_parse() of systemd).
pub fn parse(file: &str, text: &str) -> Parsed {
    let mut out = Parsed::default();
    let mut section = String::new();
    let mut pending: Option<(u32, String)> = None;
    let mut marked = false;
    for (n, raw) in lines(text) {
        // Comment lines within a continued assignment are dropped, the assignment goes on behind them.
        if raw.trim_start_matches([' ', '\t']).starts_with(['#', ';']) {
            continue;
        }
        // A byte order mark counts once.
        let raw = match raw.strip_prefix('\u{feff}').filter(|_| !marked) {
            Some(rest) => {
                marked = true;
                rest
            }
            None => raw,
        };
        let (start, mut line) = pending.take().unwrap_or((n, String::new()));
        if line.len() + raw.len() > MAX_LINE {
            out.ignored.push((Origin::line(file, start), "line is longer than 1 MiB"));
            continue;
        }
        line.push_str(raw);
        // A backslash that is escaped itself does not continue the line.
        if line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1 {
            line.pop();
            line.push(' ');
            pending = Some((start, line));
        } else if !logical(file, start, &line, &mut section, &mut out) {
            return out;
        }
    }
    if let Some((start, line)) = pending {
        logical(file, start, &line, &mut section, &mut out);
    }
    out
}

/// Lines with their numbers; `\n`, `\r`, NUL and pairs of them end one (read_line() of systemd).
fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let mut rest = Some(text);
    let mut n = 0u32;
    std::iter::from_fn(move || {
        let text = rest.filter(|t| !t.is_empty())?;
        n = n.saturating_add(1);
        let Some(end) = text.find(['\n', '\r', '\0']) else {
            rest = None;
            return Some((n, text));
        };
        let tail = &text[end..];
        let both = tail.starts_with("\r\n") || tail.starts_with("\n\r");
        rest = Some(&tail[if both { 2 } else { 1 }..]);
        Some((n, &text[..end]))
    })
}

/// False where systemd reads no further.
fn logical(file: &str, n: u32, line: &str, section: &mut String, out: &mut Parsed) -> bool {
    let line = line.trim_matches([' ', '\t']);
    if line.is_empty() {
        return true;
    }
    let origin = Origin::line(file, n);
    if let Some(rest) = line.strip_prefix('[') {
        match rest.strip_suffix(']') {
            Some(name) => name.clone_into(section),
            None => {
                out.ignored.push((origin, "section header without `]`; the rest of the file is not read"));
                return false;
            }
        }
        return true;
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
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sections_comments_and_continuations() {
        let text = "; c\n[Unit]\nA=1\n[Service]\nExecStart=/bin/a \\\n# between\n  b \\\n  c\nEmpty=\nnonsense\nB = x = y \nLast=z\\\n\n[open\nC=1\n";
        let parsed = parse("u.service", text);
        let got: Vec<_> =
            parsed.entries.iter().map(|e| format!("{} {} {:?} {}", e.section, e.key, e.value, e.origin)).collect();
        assert_eq!(
            got,
            [
                "Unit A \"1\" u.service:3",
                "Service ExecStart \"/bin/a    b    c\" u.service:5",
                "Service Empty \"\" u.service:9",
                "Service B \"x = y\" u.service:11",
                "Service Last \"z\" u.service:12",
            ]
        );
        assert_eq!(parsed.ignored.len(), 2);
    }

    #[test]
    fn marks_backslashes_and_line_ends() {
        let text = "\u{feff}[Service]\r\nA=C:\\\\\rB=x\\\\\\\n y\n";
        let got: Vec<_> =
            parse("u", text).entries.iter().map(|e| format!("{} {} {}", e.key, e.value, e.origin)).collect();
        assert_eq!(got, ["A C:\\\\ u:2", "B x\\\\  y u:3"]);
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
