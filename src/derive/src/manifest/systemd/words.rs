//! Words of a setting, as extract_first_word() of systemd's src/basic/extract-word.c cuts them.

/// What a backslash means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// C escapes; unknown ones stay as they are, with a warning of systemd's (command lines, Environment=).
    C,
    /// The next character stands for itself (lists of paths).
    Plain,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Without quotes and escapes; what is not UTF-8 then is U+FFFD.
    pub text: String,
    /// Neither quoted nor escaped.
    pub bare: bool,
}

/// A quote that is not closed: systemd passes over the rest of the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quote is not closed")]
pub struct Unbalanced;

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The words of a value.
pub fn words(value: &str, escapes: Escapes) -> Result<Vec<Word>, Unbalanced> {
    let mut out = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches(is_blank);
        if rest.is_empty() {
            return Ok(out);
        }
        // In a command line `\;` alone is a literal semicolon.
        if escapes == Escapes::C
            && let Some(tail) = rest.strip_prefix("\\;")
            && tail.chars().next().is_none_or(is_blank)
        {
            out.push(Word { text: "\\;".to_owned(), bare: true });
            rest = tail;
            continue;
        }
        let (word, tail) = first(rest, escapes)?;
        out.push(word);
        rest = tail;
    }
}

fn first(text: &str, escapes: Escapes) -> Result<(Word, &str), Unbalanced> {
    let mut bytes = Vec::new();
    let mut bare = true;
    let mut quote: Option<char> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let tail = &rest[c.len_utf8()..];
        match (c, quote) {
            ('\\', _) => {
                bare = false;
                rest = match escapes {
                    Escapes::C => escape(tail, &mut bytes),
                    Escapes::Plain => {
                        let next = tail.chars().next().map_or(0, char::len_utf8);
                        bytes.extend_from_slice(&tail.as_bytes()[..next]);
                        &tail[next..]
                    }
                };
                continue;
            }
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                bare = false;
            }
            (c, None) if is_blank(c) => break,
            (c, _) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = tail;
    }
    if quote.is_some() {
        return Err(Unbalanced);
    }
    let text = String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    Ok((Word { text, bare }, rest))
}

/// One escape (cunescape_one()); the text behind it. An unknown one is kept as it is written.
fn escape<'a>(text: &'a str, out: &mut Vec<u8>) -> &'a str {
    let Some(c) = text.chars().next() else {
        out.push(b'\\');
        return text;
    };
    let tail = &text[c.len_utf8()..];
    let simple = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        's' => b' ',
        '\\' | '"' | '\'' => c as u8,
        _ => {
            // (digits, radix, behind the letter or with it)
            let (digits, radix, from) = match c {
                'x' => (2, 16, tail),
                'u' => (4, 16, tail),
                'U' => (8, 16, tail),
                '0'..='7' => (3, 8, text),
                _ => (0, 0, tail),
            };
            let number = from.get(..digits).filter(|t| digits > 0 && t.bytes().all(|b| (b as char).is_digit(radix)));
            let value = number.and_then(|t| u32::from_str_radix(t, radix).ok()).filter(|v| *v != 0);
            match (value, c) {
                (Some(value), 'u' | 'U') => match char::from_u32(value) {
                    Some(c) => {
                        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        return &from[digits..];
                    }
                    None => out.push(b'\\'),
                },
                (Some(value), _) if value < 256 => {
                    out.push(value as u8);
                    return &from[digits..];
                }
                _ => out.push(b'\\'),
            }
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return tail;
        }
    };
    out.push(simple);
    tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(value: &str, escapes: Escapes) -> Vec<String> {
        words(value, escapes).unwrap().into_iter().map(|w| w.text).collect()
    }

    #[test]
    fn quotes_and_escapes() {
        assert_eq!(texts("a \"b c\"d 'e\"f'", Escapes::C), ["a", "b cd", "e\"f"]);
        assert_eq!(
            texts(r"s/^\/k\/// \q \x41 \x4 \x00 \101 \477 \u00e9 x\", Escapes::C),
            [r"s/^\/k\///", r"\q", "A", r"\x4", r"\x00", "A", r"\477", "é", r"x\"]
        );
        assert_eq!(texts(r"\xc3\xa9 \xff", Escapes::C), ["é", "\u{fffd}"]);
        assert_eq!(texts(r#""/srv/a b" /c\x20d /e\ f"#, Escapes::Plain), ["/srv/a b", "/cx20d", "/e f"]);
        assert_eq!(words("a 'b", Escapes::C), Err(Unbalanced));
    }

    proptest! {
        #[test]
        fn no_text_panics(value in "(\\PC|[ '\"\\\\xuU07;])*") {
            let _ = words(&value, Escapes::C);
            let _ = words(&value, Escapes::Plain);
        }
    }
}
