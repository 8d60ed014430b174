//! The commands of GRUB scripts and of shell fragments of assignments: words, quotes, comments, continued lines.

use std::collections::{BTreeMap, BTreeSet};

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its first byte.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
    /// Without quotes; variables as `$NAME`, what only running it could tell as `$`.
    pub text: String,
    /// A variable stands in it outside quotes: what that holds is cut at blanks.
    pub cut: bool,
}

/// Whose commands they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// To which `{` and `}` are commands wherever they stand.
    Grub,
    /// To which they are so as words.
    Shell,
}

/// The commands of a script: each its words; `&` and `|` between them, and GRUB's braces, are commands themselves. None
/// where a quote or a bracket is not closed.
pub fn commands(text: &str, language: Language) -> Option<Vec<Vec<Word>>> {
    let mut out = vec![Vec::new()];
    let mut word: Option<Word> = None;
    let mut chars = text.char_indices().peekable();
    let mut quote = None;
    while let Some((at, c)) = chars.next() {
        let blank = quote.is_none() && (c.is_ascii_whitespace() || c == ';');
        let comment = quote.is_none() && c == '#' && word.is_none();
        let brace = quote.is_none() && matches!(c, '{' | '}') && language == Language::Grub;
        let continued = quote != Some('\'') && c == '\\' && matches!(chars.peek(), Some((_, '\n')));
        if continued {
            chars.next();
            continue;
        }
        if brace || quote.is_none() && matches!(c, '&' | '|') {
            out.last_mut()?.extend(word.take());
            let own = Word { start: at, end: at + 1, text: c.to_string(), cut: false };
            out.extend([vec![own], Vec::new()]);
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
        let word = word.get_or_insert_with(|| Word { start: at, end: at, text: String::new(), cut: false });
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            ('\\', None) => word.text.push(chars.next()?.1),
            ('\\', Some('"')) if chars.peek().is_some_and(|(_, c)| matches!(c, '$' | '"' | '\\' | '`')) => {
                word.text.extend(chars.next().map(|(_, c)| c));
            }
            ('`', None | Some('"')) if language == Language::Shell => {
                while chars.next_if(|(_, c)| *c != '`').is_some() {}
                chars.next()?;
                word.text.push('$');
            }
            ('$', None | Some('"')) => {
                word.text.push('$');
                word.cut |= quote.is_none();
                let close = match chars.peek() {
                    Some((_, '{')) => '}',
                    Some((_, '(')) if language == Language::Shell => ')',
                    _ => '\0',
                };
                if close != '\0' {
                    chars.next();
                    let mut inner = String::new();
                    while let Some((_, c)) = chars.next_if(|(_, c)| *c != close) {
                        inner.push(c);
                    }
                    chars.next()?;
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

/// What variables may hold.
pub type Values = BTreeMap<String, BTreeSet<String>>;
/// Readings of one text that are looked at.
const READINGS: usize = 64;

/// The texts that a text may be with its variables replaced; those that are not known are nothing.
pub fn expand(text: &str, known: &Values) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.iter_mut().for_each(|o| o.push_str(&rest[..at]));
        let tail = &rest[at + 1..];
        let len = tail.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        if let Some(values) = known.get(&tail[..len]) {
            out = out.iter().flat_map(|o| values.iter().map(move |v| format!("{o}{v}"))).take(READINGS).collect();
        }
        rest = tail[len..].strip_prefix('\0').unwrap_or(&tail[len..]);
    }
    out.iter_mut().for_each(|o| o.push_str(rest));
    out
}

/// `NAME=VALUE` of a word, or `NAME+=VALUE`, which is `$NAME` and the value.
pub fn assignment(word: &Word) -> Option<(&str, String)> {
    let (name, value) = word.text.split_once('=')?;
    let (name, value) = match name.strip_suffix('+') {
        Some(name) => (name, format!("${name}\0{value}")),
        None => (name, value.to_owned()),
    };
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    good.then_some((name, value))
}

/// Notes an assignment. In a branch that may not be gone, what was there before may stay.
pub fn assign(known: &mut Values, name: &str, value: &str, certain: bool) {
    let values = expand(value, known);
    let held = known.entry(name.to_owned()).or_default();
    match certain {
        true => held.clear(),
        false if held.is_empty() => _ = held.insert(String::new()),
        false => {}
    }
    held.extend(values);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<Vec<String>> {
        commands(script, Language::Grub).unwrap().into_iter().map(|c| c.into_iter().map(|w| w.text).collect()).collect()
    }

    #[test]
    fn words_are_told_apart() {
        assert_eq!(texts("linux /v a \"b c\" 'd e' # no\n"), [["linux", "/v", "a", "b c", "d e"]]);
        assert_eq!(texts("linux /v \\\n  a; boot"), [vec!["linux", "/v", "a"], vec!["boot"]]);
        assert_eq!(texts("A=\"x $B\"\nC=${B}y `z`"), [vec!["A=x $B"], vec!["C=$B\0y", "`z`"]]);
        let shell = commands("A=$(b c)`d e`", Language::Shell).unwrap();
        assert_eq!(shell[0][0].text, "A=$$");
        // A word that never ends is no place to add one behind.
        for open in ["linux /v `x", "linux /v $(x", "linux /v ${x", "linux /v\\"] {
            assert_eq!(commands(open, Language::Shell), None, "{open}");
        }
        assert_eq!(commands("linux /v ${x", Language::Grub), None);
        assert_eq!(texts("a {b}"), [["a"], ["{"], ["b"], ["}"]]);
        assert_eq!(commands("a 'b", Language::Shell), None);
        let mut known = Values::new();
        assign(&mut known, "B", "b", true);
        assert_eq!(expand("x $B\0y$", &known), ["x by"]);
        assign(&mut known, "B", "$B\0c", false);
        assert_eq!(expand("$B", &known), ["b", "bc"]);
        assign(&mut known, "C", "c", false);
        assert_eq!(expand("$C", &known), ["", "c"]);
        let script = "linux /v a#b  # x\n}";
        let words = &commands(script, Language::Shell).unwrap()[0];
        assert_eq!(&script[words[2].start..words[2].end], "a#b");
    }
}
