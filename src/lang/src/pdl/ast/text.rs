//! The tokens of nodes, and what they say.

use std::ops::Range;

use super::super::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

pub(super) fn words(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> + use<> {
    tokens(node).filter(|t| t.kind() == SyntaxKind::Word)
}

pub(super) fn tokens(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> + use<> {
    node.children_with_tokens().filter_map(|e| e.into_token()).filter(|t| !t.kind().is_trivia())
}

pub(super) fn word_after(node: &SyntaxNode, before: &str) -> Option<SyntaxToken> {
    words(node).skip_while(|t| t.text() != before).nth(1)
}

pub(super) fn token(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxToken> {
    tokens(node).find(|t| t.kind() == kind)
}

/// What stands between the quotes. A backslash stays: it quotes in patterns, see [`plain`].
pub fn inner(token: &SyntaxToken) -> &str {
    let text = token.text();
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text)
}

/// The text of a string that is not a pattern: a backslash stands for the character behind it.
pub fn plain(token: &SyntaxToken) -> String {
    let mut out = String::new();
    let mut chars = inner(token).chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out
}

/// A token's bytes.
pub fn token_span(token: &SyntaxToken) -> Range<usize> {
    token.text_range().into()
}
