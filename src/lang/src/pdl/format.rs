//! The canonical layout: one statement a line, two spaces within a block, one space between words. Comments stay
//! where they are: on lines of their own, or behind what they stand behind. Only white space changes, so the
//! formatted text has the same tree.

use super::diagnostic::Diagnostic;
use super::parser::parse;
use super::syntax::{SyntaxElement, SyntaxKind, SyntaxNode, SyntaxToken};
use SyntaxKind::*;

/// Longer statements are broken at commas and clauses.
const WIDTH: usize = 120;
const INDENT: &str = "  ";
const CONTINUED: &str = "    ";
/// Words before which a long statement may be broken.
const CLAUSES: &[&str] = &["because", "severity", "then", "during", "by", "port", "except", "zone"];

/// The text in canonical layout. A text with syntax errors has none.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let parsed = parse(text, 0);
    if !parsed.errors.is_empty() {
        return Err(parsed.errors);
    }
    let mut writer = Writer::default();
    writer.items(&parsed.syntax(), 0);
    Ok(writer.out)
}

/// What stands between two pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Line,
    Blank,
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Whether anything stands in the present block, so that a blank line may come before the next piece.
    started: bool,
    /// Whether the last line ended in a `}` or belongs to an item that stands apart.
    apart: bool,
}

impl Writer {
    /// The items of a file or of a block, with the comments between them.
    fn items(&mut self, parent: &SyntaxNode, depth: usize) {
        let mut gap = Gap::None;
        // The tokens of a block's header and its braces are written by `block`.
        let mut within = parent.kind() == File;
        for element in parent.children_with_tokens() {
            match element {
                SyntaxElement::Token(token) => match token.kind() {
                    LBrace => within = true,
                    RBrace => within = false,
                    Whitespace if within => gap = gap.max(lines(token.text())),
                    Comment if within => {
                        self.comment(&token, gap, depth);
                        gap = Gap::None;
                    }
                    _ => {}
                },
                SyntaxElement::Node(node) if within && is_item(node.kind()) => {
                    self.item(&node, gap, depth);
                    gap = Gap::None;
                }
                SyntaxElement::Node(_) => {}
            }
        }
    }

    fn comment(&mut self, token: &SyntaxToken, gap: Gap, depth: usize) {
        let text = token.text().trim_end();
        let beside = self.started && self.out.ends_with('\n') || self.out.ends_with("{\n");
        if gap == Gap::None && beside {
            // On the line of what comes before it.
            self.out.pop();
            self.out.push(' ');
            self.out.push_str(text);
            self.out.push('\n');
            return;
        }
        if (gap == Gap::Blank || self.apart) && self.started {
            self.out.push('\n');
        }
        self.apart = false;
        self.line(text, depth);
    }

    fn line(&mut self, text: &str, depth: usize) {
        self.out.push_str(&INDENT.repeat(depth));
        self.out.push_str(text);
        self.out.push('\n');
        self.started = true;
    }

    fn item(&mut self, node: &SyntaxNode, gap: Gap, depth: usize) {
        let block = matches!(node.kind(), SyntaxKind::Window | Abstraction | Profile | Guard);
        // A comment right above a block belongs to it.
        let commented = self.out.lines().last().is_some_and(|l| l.trim_start().starts_with('#')) && gap != Gap::Blank;
        if self.started && (gap == Gap::Blank || ((block || self.apart) && !commented)) {
            self.out.push('\n');
        }
        self.apart = false;
        if block { self.block(node, depth) } else { self.statement(&tokens(node), depth) }
    }

    fn block(&mut self, node: &SyntaxNode, depth: usize) {
        let header: Vec<SyntaxToken> = tokens(node).into_iter().take_while(|t| t.kind() != LBrace).collect();
        let comments: Vec<&SyntaxToken> = header.iter().filter(|t| t.kind() == Comment).collect();
        let words: Vec<SyntaxToken> = header.iter().filter(|t| t.kind() != Comment).cloned().collect();
        let (text, _) = joined(&words);
        self.line(&format!("{text} {{"), depth);
        for comment in comments {
            self.line(comment.text().trim_end(), depth + 1);
        }
        self.started = false;
        self.items(node, depth + 1);
        self.apart = false;
        if self.out.ends_with("{\n") {
            self.out.pop();
            self.out.push_str("}\n");
        } else {
            self.out.push_str(&INDENT.repeat(depth));
            self.out.push_str("}\n");
        }
        self.started = true;
        self.apart = true;
    }

    /// A statement's tokens on one line, or on several if it is long or has comments within.
    fn statement(&mut self, tokens: &[SyntaxToken], depth: usize) {
        if !tokens.iter().any(|t| t.kind() == Comment) {
            let (text, breaks) = joined(tokens);
            return self.broken(&text, &breaks, depth);
        }
        // A comment ends its line; the rest goes on below.
        let mut first = true;
        for piece in tokens.split_inclusive(|t| t.kind() == Comment) {
            let (words, comment) = match piece.split_last() {
                Some((last, words)) if last.kind() == Comment => (words, Some(last)),
                _ => (piece, None),
            };
            let (mut text, _) = joined(words);
            if let Some(comment) = comment {
                text.push_str(if text.is_empty() { "" } else { " " });
                text.push_str(comment.text().trim_end());
            }
            let indent = if first { String::new() } else { CONTINUED.to_owned() };
            self.line(&format!("{indent}{text}"), depth);
            first = false;
        }
    }

    fn broken(&mut self, text: &str, breaks: &[usize], depth: usize) {
        let indent = INDENT.len() * depth;
        if indent + text.chars().count() <= WIDTH {
            return self.line(text, depth);
        }
        let mut line = String::new();
        let mut first = true;
        let mut from = 0;
        for end in breaks.iter().copied().chain([text.len()]) {
            let piece = &text[from..end];
            let lead = indent + if first { 0 } else { CONTINUED.len() };
            if !line.is_empty() && lead + line.chars().count() + piece.trim_end().chars().count() > WIDTH {
                let indent = if first { "" } else { CONTINUED };
                self.line(&format!("{indent}{}", line.trim_end()), depth);
                line.clear();
                first = false;
            }
            line.push_str(piece);
            from = end;
        }
        let indent = if first { "" } else { CONTINUED };
        self.line(&format!("{indent}{}", line.trim_end()), depth);
    }
}

fn is_item(kind: SyntaxKind) -> bool {
    matches!(
        kind,
        Edition
            | Import
            | Let
            | SyntaxKind::Window
            | WindowSpan
            | Abstraction
            | Profile
            | Guard
            | Subject
            | Mode
            | Governs
            | Active
            | OnViolation
            | Use
            | Limit
            | Rule
            | Never
    )
}

/// All tokens but white space.
fn tokens(node: &SyntaxNode) -> Vec<SyntaxToken> {
    node.descendants_with_tokens().filter_map(|e| e.into_token()).filter(|t| t.kind() != Whitespace).collect()
}

fn lines(space: &str) -> Gap {
    match space.bytes().filter(|b| *b == b'\n').count() {
        0 => Gap::None,
        1 => Gap::Line,
        _ => Gap::Blank,
    }
}

/// The tokens with canonical spaces, and the offsets at which the text may be broken.
fn joined(tokens: &[SyntaxToken]) -> (String, Vec<usize>) {
    let mut text = String::new();
    let mut breaks = Vec::new();
    let mut last: Option<&SyntaxToken> = None;
    for token in tokens {
        if let Some(last) = last.filter(|last| space_between(last, token)) {
            text.push(' ');
            let clause = token.kind() == Word && CLAUSES.contains(&token.text());
            if last.kind() == Comma || clause {
                breaks.push(text.len());
            }
        }
        text.push_str(token.text());
        last = Some(token);
    }
    (text, breaks)
}

fn space_between(left: &SyntaxToken, right: &SyntaxToken) -> bool {
    let sticks_left = matches!(right.kind(), Comma | Semicolon | LParen | RParen | RBracket | Dot | Colon | Dash);
    let sticks_right = matches!(left.kind(), LParen | LBracket | Dollar | Dot | Dash);
    !sticks_left && !sticks_right
}
