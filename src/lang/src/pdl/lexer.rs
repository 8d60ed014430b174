//! Text to tokens. Every byte of the text is in exactly one token.

use logos::Logos;

use super::syntax::SyntaxKind;

/// One token and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub kind: SyntaxKind,
    pub text: &'t str,
    pub start: usize,
}

/// The tokens of the text, white space, comments and errors included. Neighbouring errors are one token.
pub(super) fn lex(text: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    // Editors of some systems begin a text with a byte order mark, which says nothing.
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    if mark > 0 {
        tokens.push(Token { kind: SyntaxKind::Whitespace, text: &text[..mark], start: 0 });
    }
    for (kind, range) in SyntaxKind::lexer(&text[mark..]).spanned() {
        let (kind, range) = (kind.unwrap_or(SyntaxKind::ErrorToken), range.start + mark..range.end + mark);
        match tokens.last_mut() {
            Some(last) if kind == SyntaxKind::ErrorToken && last.kind == kind => {
                last.text = &text[last.start..range.end]
            }
            _ => tokens.push(Token { kind, text: &text[range.clone()], start: range.start }),
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use SyntaxKind::*;

    fn kinds(text: &str) -> Vec<SyntaxKind> {
        lex(text).into_iter().map(|t| t.kind).filter(|k| *k != Whitespace).collect()
    }

    #[test]
    fn tokens_of_every_kind() {
        assert_eq!(kinds("allow read \"/a\\\"b\", $x;"), [Word, Word, Str, Comma, Dollar, Word, Semicolon]);
        assert_eq!(kinds("mon-fri 22:00-04:00"), [Word, Dash, Word, Time, Dash, Time]);
        assert_eq!(kinds("50% 512MiB 10MiB/s 8080-8083"), [Quantity, Quantity, Quantity, Int, Dash, Int]);
        assert_eq!(kinds("@system-service # end"), [Group, Comment]);
        assert_eq!(kinds("\"open\nnext \"x\\"), [UnterminatedStr, Word, UnterminatedStr]);
        assert_eq!(kinds("Ä/!\u{0}"), [ErrorToken]);
        assert_eq!(kinds("\u{feff}pdl 1;"), [Word, Int, Semicolon]);
        assert_eq!(kinds("pdl \u{feff}1;"), [Word, ErrorToken, Int, Semicolon]);
    }
}
