//! The words of a line, with the quotes of redis.conf.

/// Splits a line. Double quotes know `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a`, and `\` before any other character; single
/// quotes know `\'` alone. A quote opens anywhere in a word; a blank or the end follows where it closes. None where Redis
/// refuses the line.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(is_blank);
        if rest.is_empty() {
            return Some(out);
        }
        // Bytes, because `\xHH` names one.
        let mut word = Vec::new();
        while let Some(c) = rest.chars().next().filter(|c| !is_blank(*c)) {
            rest = &rest[c.len_utf8()..];
            if c != '"' && c != '\'' {
                push(&mut word, c);
                continue;
            }
            rest = quoted(rest, c, &mut word)?;
            if !rest.is_empty() && !rest.starts_with(is_blank) {
                return None;
            }
        }
        out.push(String::from_utf8_lossy(&word).into_owned());
    }
}

/// Reads up to the end of the quotes; what follows it.
fn quoted<'a>(text: &'a str, quote: char, word: &mut Vec<u8>) -> Option<&'a str> {
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            c if c == quote => return Some(chars.as_str()),
            '\\' if quote == '\'' => match chars.as_str().strip_prefix('\'') {
                Some(rest) => {
                    word.push(b'\'');
                    chars = rest.chars();
                }
                None => word.push(b'\\'),
            },
            '\\' => {
                let digits = chars.as_str().strip_prefix('x').and_then(|t| t.get(..2));
                let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                if let Some(byte) = digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                    word.push(byte);
                    chars = chars.as_str()[3..].chars();
                    continue;
                }
                match chars.next()? {
                    'n' => word.push(b'\n'),
                    'r' => word.push(b'\r'),
                    't' => word.push(b'\t'),
                    'b' => word.push(8),
                    'a' => word.push(7),
                    other => push(word, other),
                }
            }
            other => push(word, other),
        }
    }
}

fn push(word: &mut Vec<u8>, c: char) {
    word.extend(c.encode_utf8(&mut [0; 4]).bytes());
}

/// What isspace(3) takes for a blank.
fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes() {
        for (line, want) in [
            ("bind 127.0.0.1  ::1", Some(vec!["bind", "127.0.0.1", "::1"])),
            ("logfile \"\"", Some(vec!["logfile", ""])),
            (r#"a "b c\x41\"\t\q""#, Some(vec!["a", "b cA\"\tq"])),
            (r#"a "\xc3\xa9\xZZ""#, Some(vec!["a", "\u{e9}xZZ"])),
            (r"a 'b\'c\n'", Some(vec!["a", r"b'c\n"])),
            (r"a b\ c", Some(vec!["a", r"b\", "c"])),
            (r#"a b"c d""#, Some(vec!["a", "bc d"])),
            ("a # b", Some(vec!["a", "#", "b"])),
            ("a \"b\"c", None),
            ("a \"b", None),
            ("a 'b\\'", None),
            ("a \"b\\", None),
            ("", Some(vec![])),
        ] {
            let want = want.map(|w| w.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(words(line), want, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(\\PC|[\"'x\\\\ ])*") {
            let _ = words(&line);
        }
    }
}
