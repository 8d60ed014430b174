//! The commands of GRUB scripts and of shell fragments of assignments: words, quotes, comments, continued lines.

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its first byte.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
    /// Without quotes; variables as `$NAME`, what only running it could tell as `$`.
    pub text: String,
}

/// The commands of a script: each its words. None where a quote is not closed.
pub fn commands(text: &str) -> Option<Vec<Vec<Word>>> {
    let mut out = vec![Vec::new()];
    let mut word: Option<Word> = None;
    let mut chars = text.char_indices().peekable();
    let mut quote = None;
    while let Some((at, c)) = chars.next() {
        let blank = quote.is_none() && (c.is_ascii_whitespace() || matches!(c, ';' | '&' | '|'));
        let comment = quote.is_none() && c == '#' && word.is_none();
        let continued = quote != Some('\'') && c == '\\' && matches!(chars.peek(), Some((_, '\n')));
        if continued {
            chars.next();
            continue;
        }
        if blank || comment {
            if let Some(done) = word.take() {
                out.last_mut()?.push(done);
            }
            if comment {
                while chars.next_if(|(_, c)| *c != '\n').is_some() {}
            } else if !matches!(c, ' ' | '\t' | '\r') {
                out.push(Vec::new());
            }
            continue;
        }
        let word = word.get_or_insert_with(|| Word { start: at, end: at, text: String::new() });
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            ('\\', None) => word.text.extend(chars.next().map(|(_, c)| c)),
            ('\\', Some('"')) if chars.peek().is_some_and(|(_, c)| matches!(c, '$' | '"' | '\\' | '`')) => {
                word.text.extend(chars.next().map(|(_, c)| c));
            }
            ('`', None | Some('"')) => {
                while chars.next_if(|(_, c)| *c != '`').is_some() {}
                chars.next();
                word.text.push('$');
            }
            ('$', None | Some('"')) => {
                word.text.push('$');
                let close = match chars.peek() {
                    Some((_, '{')) => '}',
                    Some((_, '(')) => ')',
                    _ => '\0',
                };
                if close != '\0' {
                    chars.next();
                    let mut inner = String::new();
                    while let Some((_, c)) = chars.next_if(|(_, c)| *c != close) {
                        inner.push(c);
                    }
                    chars.next();
                    if close == '}' && inner.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                        word.text.push_str(&inner);
                        // So that what follows is not taken for a part of the name.
                        word.text.push('\0');
                    }
                }
            }
            (c, _) => word.text.push(c),
        }
        word.end = chars.peek().map_or(text.len(), |(at, _)| *at);
    }
    if let Some(done) = word {
        out.last_mut()?.push(done);
    }
    out.retain(|c| !c.is_empty());
    quote.is_none().then_some(out)
}

/// A text with the variables replaced that are known; others become nothing.
pub fn expand(text: &str, known: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let len = tail.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        out.push_str(&known(&tail[..len]).unwrap_or_default());
        rest = tail[len..].strip_prefix('\0').unwrap_or(&tail[len..]);
    }
    out.push_str(rest);
    out
}

/// `NAME=VALUE` of a word.
pub fn assignment(word: &Word) -> Option<(&str, &str)> {
    let (name, value) = word.text.split_once('=')?;
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    good.then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<Vec<String>> {
        commands(script).unwrap().into_iter().map(|c| c.into_iter().map(|w| w.text).collect()).collect()
    }

    #[test]
    fn words_are_told_apart() {
        assert_eq!(texts("linux /v a \"b c\" 'd e' # no\n"), [["linux", "/v", "a", "b c", "d e"]]);
        assert_eq!(texts("linux /v \\\n  a; boot"), [vec!["linux", "/v", "a"], vec!["boot"]]);
        assert_eq!(texts("A=\"x $B\"\nC=${B}y `z`"), [vec!["A=x $B"], vec!["C=$B\0y", "$"]]);
        assert_eq!(commands("a 'b"), None);
        assert_eq!(expand("x $B\0y$", |n| (n == "B").then(|| "b".to_owned())), "x by");
        let script = "linux /v a#b  # x\n}";
        let words = &commands(script).unwrap()[0];
        assert_eq!(&script[words[2].start..words[2].end], "a#b");
    }
}
