//! What a node says by its tokens, or by the order of its children.

use rowan::ast::support;

use super::super::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};
use super::choice::{Object, object};
use super::node::*;
use super::text::{token, tokens, word_after, words};

impl File {
    /// The file of a tree's root.
    pub fn of(root: SyntaxNode) -> Option<File> {
        rowan::ast::AstNode::cast(root)
    }
}
impl Edition {
    /// The number.
    pub fn number(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Int)
    }
}
impl Import {
    /// What to import.
    pub fn path(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Str)
    }
}
impl WindowSpan {
    /// Start and end.
    pub fn times(&self) -> Vec<SyntaxToken> {
        tokens(&self.0).filter(|t| t.kind() == SyntaxKind::Time).collect()
    }
    /// The zone's name.
    pub fn zone(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Str)
    }
}
impl DayRange {
    /// One or two days.
    pub fn days(&self) -> Vec<SyntaxToken> {
        words(&self.0).collect()
    }
}
impl Abstraction {
    /// Its parameters.
    pub fn params(&self) -> Vec<Param> {
        let lists = self.0.children().filter(|n| n.kind() == SyntaxKind::ParamList);
        lists.flat_map(|n| support::children(&n)).collect()
    }
}
impl Param {
    /// Behind the colon.
    pub fn kind(&self) -> Option<SyntaxToken> {
        words(&self.0).next()
    }
}
impl Mode {
    /// `enforce`, `audit` or `learn`.
    pub fn word(&self) -> Option<SyntaxToken> {
        words(&self.0).nth(1)
    }
}
impl Active {
    /// The action after `else`.
    pub fn otherwise(&self) -> Option<SyntaxToken> {
        word_after(&self.0, "else")
    }
}
impl Selector {
    /// `unit`
    pub fn key(&self) -> Option<SyntaxToken> {
        words(&self.0).next()
    }
    /// `"nginx.service"`
    pub fn pattern(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Str)
    }
}
impl Limit {
    /// `cpu`, `memory` …
    pub fn resource(&self) -> Option<SyntaxToken> {
        words(&self.0).nth(1)
    }
    /// `in` or `out`.
    pub fn direction(&self) -> Option<SyntaxToken> {
        words(&self.0).nth(2)
    }
    /// A number or quantity.
    pub fn amount(&self) -> Option<SyntaxToken> {
        tokens(&self.0).find(|t| matches!(t.kind(), SyntaxKind::Int | SyntaxKind::Quantity))
    }
}
impl IoRate {
    /// `read` or `write`.
    pub fn verb(&self) -> Option<SyntaxToken> {
        words(&self.0).next()
    }
    /// The rate.
    pub fn amount(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Quantity)
    }
}
impl Rule {
    /// `allow`, `deny` or `watch`.
    pub fn effect(&self) -> Option<SyntaxToken> {
        words(&self.0).next()
    }
    /// What it is about.
    pub fn object(&self) -> Option<Object> {
        object(&self.0)
    }
}
impl Never {
    /// What it is about.
    pub fn object(&self) -> Option<Object> {
        object(&self.0)
    }
}
impl Verbs {
    /// The words.
    pub fn words(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        words(&self.0)
    }
}
impl Switch {
    /// The profile.
    pub fn profile(&self) -> Option<SyntaxToken> {
        words(&self.0).nth(1)
    }
}
impl NetObject {
    /// The protocol.
    pub fn protocol(&self) -> Option<SyntaxToken> {
        words(&self.0).find(|t| t.text() != "port")
    }
}
impl NamesObject {
    /// `capability`, `kernel` or `syscall`.
    pub fn class(&self) -> Option<SyntaxToken> {
        words(&self.0).next()
    }
}
impl Address {
    /// `to`, `from` or `on`.
    pub fn preposition(&self) -> Option<SyntaxToken> {
        words(&self.0).next()
    }
    /// `any` or `loopback`.
    pub fn word(&self) -> Option<SyntaxToken> {
        words(&self.0).nth(1)
    }
}
impl Dns {
    /// The pattern.
    pub fn pattern(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Str)
    }
}
impl Name {
    /// A word or group.
    pub fn word(&self) -> Option<SyntaxToken> {
        tokens(&self.0).find(|t| matches!(t.kind(), SyntaxKind::Word | SyntaxKind::Group))
    }
    /// The text of the word.
    pub fn text(&self) -> String {
        self.word().map(|t| t.text().to_owned()).unwrap_or_default()
    }
}
impl Outcome {
    /// After `severity`.
    pub fn severity(&self) -> Option<SyntaxToken> {
        word_after(&self.0, "severity")
    }
    /// After `then`.
    pub fn action(&self) -> Option<SyntaxToken> {
        words(&self.0).skip_while(|t| t.text() != "then").nth(1)
    }
}
impl Ref {
    /// `manifest`, `control` …
    pub fn kind(&self) -> Option<SyntaxToken> {
        words(&self.0).next()
    }
    /// Where.
    pub fn text(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Str)
    }
}
impl Literal {
    /// The quoted string.
    pub fn token(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Str)
    }
}
impl PortRange {
    /// One or two numbers.
    pub fn numbers(&self) -> Vec<SyntaxToken> {
        tokens(&self.0).filter(|t| t.kind() == SyntaxKind::Int).collect()
    }
}
impl Dotted {
    /// The names between the dots.
    pub fn parts(&self) -> Vec<String> {
        words(&self.0).map(|t| t.text().to_owned()).collect()
    }
    /// As written, without white space.
    pub fn text(&self) -> String {
        self.parts().join(".")
    }
}
