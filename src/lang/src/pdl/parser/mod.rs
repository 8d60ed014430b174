//! Tokens to a lossless tree, with recovery: whatever the text, the tree holds all of it, and each statement
//! that can be read is read.

mod block;
mod rule;
mod top;
mod words;

use rowan::{GreenNode, GreenNodeBuilder};

use super::closest;
use super::code::Code;
use super::diagnostic::{Diagnostic, FileId};
use super::lexer::{Token, lex};
use super::syntax::{SyntaxKind, SyntaxNode};
use SyntaxKind::*;

/// Lists within lists, at most.
const MAX_NESTING: usize = 64;
/// Words that continue a statement.
const CLAUSES: &[&str] =
    &["to", "from", "on", "port", "except", "as", "during", "by", "severity", "then", "because", "else", "of", "zone"];
/// Parsing goes on after this many errors, but they are no longer recorded.
const MAX_ERRORS: usize = 200;

/// A tree, and what is wrong with its text.
#[derive(Debug, Clone)]
pub struct Parse {
    green: GreenNode,
    /// In the order of the text.
    pub errors: Vec<Diagnostic>,
}

impl Parse {
    /// The root of the tree.
    pub fn syntax(&self) -> SyntaxNode {
        SyntaxNode::new_root(self.green.clone())
    }
}

/// Parses a text; `file` is what the diagnostics call it.
pub fn parse(text: &str, file: FileId) -> Parse {
    if text.len() > super::MAX_FILE {
        let error = Diagnostic::error(Code::FileTooLarge, file, 0..0, "the file is too large")
            .because(format!("it has {} bytes", text.len()))
            .mend("split it into files of at most 16 MiB");
        let mut builder = GreenNodeBuilder::new();
        builder.start_node(File.into());
        builder.finish_node();
        return Parse { green: builder.finish(), errors: vec![error] };
    }
    let mut parser = Parser {
        tokens: lex(text),
        pos: 0,
        end: text.len(),
        builder: GreenNodeBuilder::new(),
        errors: Vec::new(),
        file,
    };
    parser.builder.start_node(File.into());
    parser.whole_file();
    parser.trivia();
    parser.builder.finish_node();
    Parse { green: parser.builder.finish(), errors: parser.errors }
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    /// The next token that is not in the tree yet.
    pos: usize,
    /// Bytes of the text.
    end: usize,
    builder: GreenNodeBuilder<'static>,
    errors: Vec<Diagnostic>,
    file: FileId,
}

/// Where a look at the tokens stands: looking does not move the parser.
impl<'t> Parser<'t> {
    /// The `n`th token from here that has meaning.
    fn nth(&self, n: usize) -> Token<'t> {
        let mut rest = self.tokens[self.pos..].iter().filter(|t| !t.kind.is_trivia());
        rest.nth(n).copied().unwrap_or(Token { kind: Eof, text: "", start: self.end })
    }
    fn at(&self, kind: SyntaxKind) -> bool {
        self.nth(0).kind == kind
    }
    fn at_word(&self, word: &str) -> bool {
        let token = self.nth(0);
        token.kind == Word && token.text == word
    }
    fn at_any(&self, words: &[&str]) -> bool {
        let token = self.nth(0);
        token.kind == Word && words.contains(&token.text)
    }

    /// Moves white space and comments into the tree.
    fn trivia(&mut self) {
        while let Some(token) = self.tokens.get(self.pos).filter(|t| t.kind.is_trivia()) {
            self.builder.token(token.kind.into(), token.text);
            self.pos += 1;
        }
    }
    /// Moves the next token with meaning, and what is before it, into the tree.
    fn bump(&mut self) {
        self.trivia();
        if let Some(token) = self.tokens.get(self.pos) {
            self.builder.token(token.kind.into(), token.text);
            self.pos += 1;
        }
    }
    /// Makes a node of what `body` reads. The node starts at a token with meaning.
    fn node(&mut self, kind: SyntaxKind, body: impl FnOnce(&mut Self)) {
        self.trivia();
        self.builder.start_node(kind.into());
        body(self);
        self.builder.finish_node();
    }
    fn eat(&mut self, kind: SyntaxKind) -> bool {
        let found = self.at(kind);
        if found {
            self.bump();
        }
        found
    }
    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.bump();
        }
        found
    }

    fn error(&mut self, error: Diagnostic) {
        // One mistake is one message: what follows on the same token is a consequence.
        let repeated = self.errors.last().is_some_and(|last| last.span == error.span);
        if !repeated && self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }
    /// Says that something else should stand here. The token stays where it is.
    fn expected(&mut self, what: &str, mend: impl Into<String>) {
        let token = self.nth(0);
        let span = token.start..token.start + token.text.len();
        let error = match token.kind {
            UnterminatedStr => Diagnostic::error(Code::UnterminatedString, self.file, span, "the string is not closed")
                .because("a quoted string ends on the line on which it starts")
                .mend("add the closing `\"`; write a quote within the string as `\\\"`"),
            ErrorToken => {
                let shown: String = token.text.chars().take(10).collect::<String>().escape_debug().to_string();
                Diagnostic::error(
                    Code::StrayCharacter,
                    self.file,
                    span,
                    format!("`{shown}` is not part of the language"),
                )
                .because("outside strings there are lower-case words, numbers and `{ } ( ) [ ] , ; = : - . $ @ #`")
                .mend(stray_mend(token.text))
            }
            _ => {
                let found = shown(&token);
                Diagnostic::error(Code::Expected, self.file, span, format!("expected {what}, found {found}"))
                    .because(format!("{what} belongs here"))
                    .mend(mend)
            }
        };
        self.error(error);
    }
    /// Takes the token or says that it is missing.
    fn expect(&mut self, kind: SyntaxKind, mend: &str) -> bool {
        self.eat(kind) || {
            self.expected(kind.describe(), mend);
            false
        }
    }
    /// Takes one of these words or says which one may have been meant.
    fn expect_word(&mut self, what: &str, words: &[&str]) -> bool {
        if self.at_any(words) {
            self.bump();
            return true;
        }
        let token = self.nth(0);
        let list = words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
        let mend = match closest(token.text, words.iter().copied()) {
            Some(word) if token.kind == Word => format!("did you mean `{word}`?"),
            _ if words.len() == 1 => format!("write {list} here"),
            _ => format!("write one of {list}"),
        };
        self.expected(what, mend);
        false
    }

    /// Ends a statement at its `;`. If that is missing, the rest up to the likely end of the statement is skipped.
    fn semicolon(&mut self) {
        if self.eat(Semicolon) {
            return;
        }
        if self.ends_here() {
            self.missing_semicolon();
        } else {
            let token = self.nth(0);
            let mend = match closest(token.text, CLAUSES.iter().copied()) {
                Some(word) if token.kind == Word && word != token.text => format!("did you mean `{word}`?"),
                Some(word) if token.kind == Word => {
                    format!("`{word}` has no place here: end the statement with `;`, or keep the order of its clauses")
                }
                _ => "end the statement with `;`, or continue it as docs/pdl.md says".to_owned(),
            };
            self.expected("`;`", mend);
            self.skip_statement();
        }
    }
    /// Whether the next token starts a new line or closes the block: then only the `;` was forgotten.
    fn ends_here(&self) -> bool {
        let fresh_line = self.tokens[self.pos..]
            .iter()
            .take_while(|t| t.kind.is_trivia())
            .any(|t| t.kind == Comment || t.text.contains('\n'));
        let next = self.nth(0).kind;
        matches!(next, Eof | RBrace) || (fresh_line && next == Word)
    }
    fn missing_semicolon(&mut self) {
        let last = self.tokens[..self.pos].iter().rev().find(|t| !t.kind.is_trivia());
        let end = last.map_or(0, |t| t.start + t.text.len());
        let error = Diagnostic::error(Code::MissingSemicolon, self.file, end..end, "`;` is missing")
            .because("the statement ends here")
            .mend("add `;`");
        self.error(error);
    }
    /// Skips to behind the next `;`, or to before a `}`, a `{` or a line that starts a statement. Takes at least what
    /// keeps the parser moving: the callers loop only while there are tokens.
    fn skip_statement(&mut self) {
        if self.at(Semicolon) {
            self.bump();
            return;
        }
        if matches!(self.nth(0).kind, Eof | RBrace | LBrace) {
            return;
        }
        self.node(Error, |p| {
            p.bump();
            loop {
                let block_ends = matches!(p.nth(0).kind, Eof | Semicolon | RBrace | LBrace);
                if block_ends || (p.ends_here() && p.at_statement()) {
                    break;
                }
                p.bump();
            }
        });
        self.eat(Semicolon);
    }
    /// Whether the next word starts a statement or a block.
    fn at_statement(&self) -> bool {
        self.at_any(words::ITEMS) || self.at_any(words::STATEMENTS)
    }
    /// Skips a `{ … }` with all that is in it.
    fn skip_braces(&mut self) {
        self.node(Error, |p| {
            let mut depth = 0usize;
            loop {
                match p.nth(0).kind {
                    Eof => break,
                    LBrace => depth += 1,
                    RBrace => depth = depth.saturating_sub(1),
                    _ => {}
                }
                p.bump();
                if depth == 0 {
                    break;
                }
            }
        });
    }

    /// Skips a `[ … ]` with all that is in it, but not beyond the statement.
    fn skip_brackets(&mut self) {
        self.node(Error, |p| {
            let mut depth = 0usize;
            while !matches!(p.nth(0).kind, Eof | Semicolon | LBrace | RBrace) {
                match p.nth(0).kind {
                    LBracket => depth += 1,
                    RBracket => depth = depth.saturating_sub(1),
                    _ => {}
                }
                p.bump();
                if depth == 0 {
                    break;
                }
            }
        });
    }

    /// `item {"," item}`
    fn comma_list(&mut self, mut item: impl FnMut(&mut Self)) {
        item(self);
        while self.eat(Comma) {
            item(self);
        }
    }
    /// `ID {"." ID}`
    fn dotted(&mut self, what: &str) {
        self.node(Dotted, |p| {
            if !p.at(Word) {
                return p.expected(what, format!("write {what}: lower-case letters, digits and `_`"));
            }
            p.bump();
            while p.eat(Dot) {
                p.expect(Word, "a name follows the `.`");
            }
        });
    }
    /// A name that is being defined.
    fn name(&mut self, what: &str) {
        self.node(Name, |p| {
            if p.at(Word) {
                p.bump();
            } else {
                p.expected(what, format!("write {what}: a lower-case letter, then letters, digits and `_`"));
            }
        });
    }
    fn var(&mut self) {
        self.node(Var, |p| {
            p.bump();
            p.dotted("a name");
        });
    }
    /// `STRING | INT | INT "-" INT | VAR | "[" … "]"`
    fn value(&mut self, depth: usize) {
        match self.nth(0).kind {
            Str => self.node(Literal, Self::bump),
            Int => self.int_or_range(),
            Dollar => self.var(),
            LBracket if depth >= MAX_NESTING => {
                let start = self.nth(0).start;
                let error =
                    Diagnostic::error(Code::TooDeep, self.file, start..start + 1, "the list is nested too deeply")
                        .because(format!("this is level {}", depth + 1))
                        .mend("flatten the list: nesting has no meaning");
                self.error(error);
                self.skip_brackets();
            }
            LBracket => self.node(List, |p| {
                p.bump();
                while !matches!(p.nth(0).kind, RBracket | Eof | Semicolon | RBrace) {
                    let before = p.pos;
                    p.value(depth + 1);
                    if p.pos == before || !p.eat(Comma) {
                        break;
                    }
                }
                p.expect(RBracket, "close the list with `]`, or separate its values with `,`");
            }),
            _ => self.expected("a value", "write a \"string\", a number, a `$name` or a `[list]`"),
        }
    }
    fn int_or_range(&mut self) {
        self.node(PortRange, |p| {
            p.bump();
            if p.eat(Dash) {
                p.expect(Int, "a range is written 8080-8083");
            }
        });
    }
}

/// What was probably meant by bytes outside the language.
fn stray_mend(text: &str) -> String {
    if text.starts_with('/') {
        "put paths in double quotes: \"/etc/passwd\"; a comment begins with `#`".to_owned()
    } else if text.starts_with(['\'', '`', '“', '”', '„', '‘', '’', '«', '»']) {
        "write the plain double quote `\"`".to_owned()
    } else if text.starts_with(char::is_whitespace) || text.starts_with(['\u{200b}', '\u{feff}']) {
        "write a plain blank".to_owned()
    } else if text.bytes().any(|b| b.is_ascii_uppercase()) {
        "the words of the language are in lower case; put your own names in double quotes".to_owned()
    } else {
        "remove it, or put what belongs to your own names and paths in double quotes".to_owned()
    }
}

fn shown(token: &Token<'_>) -> String {
    match token.kind {
        Eof => "the end of the file".to_owned(),
        Str => "a quoted string".to_owned(),
        _ => format!("`{}`", token.text.chars().take(40).collect::<String>()),
    }
}
