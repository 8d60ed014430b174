//! Children of which there are several kinds: values, objects of rules, statements.

use std::ops::Range;

use super::super::syntax::{SyntaxKind, SyntaxNode};
use super::node::*;

/// A value: `"…"`, `80`, `80-90`, `$name`, `[…]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the nodes")]
pub enum Value {
    Literal(Literal),
    Range(PortRange),
    Var(Var),
    List(List),
}

fn values(node: &SyntaxNode) -> impl Iterator<Item = Value> + use<> {
    use rowan::ast::AstNode;
    node.children().filter_map(|n| match n.kind() {
        SyntaxKind::Literal => Literal::cast(n).map(Value::Literal),
        SyntaxKind::PortRange => PortRange::cast(n).map(Value::Range),
        SyntaxKind::Var => Var::cast(n).map(Value::Var),
        SyntaxKind::List => List::cast(n).map(Value::List),
        _ => None,
    })
}

macro_rules! with_values {
    ($($name:ident)*) => {$(
        impl $name {
            /// The values directly in it.
            pub fn values(&self) -> impl Iterator<Item = Value> + use<> { values(&self.0) }
        }
    )*};
}
with_values!(Let Param Args List Term Port);

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the nodes")]
pub enum Object {
    File(FileObject),
    Net(NetObject),
    Unix(UnixObject),
    Names(NamesObject),
}

pub(super) fn object(node: &SyntaxNode) -> Option<Object> {
    use rowan::ast::AstNode;
    node.children().find_map(|n| match n.kind() {
        SyntaxKind::FileObject => FileObject::cast(n).map(Object::File),
        SyntaxKind::NetObject => NetObject::cast(n).map(Object::Net),
        SyntaxKind::UnixObject => UnixObject::cast(n).map(Object::Unix),
        SyntaxKind::NamesObject => NamesObject::cast(n).map(Object::Names),
        _ => None,
    })
}

impl Object {
    /// Its bytes.
    pub fn span(&self) -> Range<usize> {
        match self {
            Object::File(n) => n.span(),
            Object::Net(n) => n.span(),
            Object::Unix(n) => n.span(),
            Object::Names(n) => n.span(),
        }
    }
}

/// A statement of a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the nodes")]
pub enum Statement {
    Subject(Subject),
    Mode(Mode),
    Governs(Governs),
    Active(Active),
    OnViolation(OnViolation),
    Use(Use),
    Limit(Limit),
    Rule(Rule),
    Never(Never),
}

impl Statement {
    fn cast(n: SyntaxNode) -> Option<Statement> {
        use rowan::ast::AstNode;
        match n.kind() {
            SyntaxKind::Subject => Subject::cast(n).map(Statement::Subject),
            SyntaxKind::Mode => Mode::cast(n).map(Statement::Mode),
            SyntaxKind::Governs => Governs::cast(n).map(Statement::Governs),
            SyntaxKind::Active => Active::cast(n).map(Statement::Active),
            SyntaxKind::OnViolation => OnViolation::cast(n).map(Statement::OnViolation),
            SyntaxKind::Use => Use::cast(n).map(Statement::Use),
            SyntaxKind::Limit => Limit::cast(n).map(Statement::Limit),
            SyntaxKind::Rule => Rule::cast(n).map(Statement::Rule),
            SyntaxKind::Never => Never::cast(n).map(Statement::Never),
            _ => None,
        }
    }
    /// Its bytes.
    pub fn span(&self) -> Range<usize> {
        match self {
            Statement::Subject(n) => n.span(),
            Statement::Mode(n) => n.span(),
            Statement::Governs(n) => n.span(),
            Statement::Active(n) => n.span(),
            Statement::OnViolation(n) => n.span(),
            Statement::Use(n) => n.span(),
            Statement::Limit(n) => n.span(),
            Statement::Rule(n) => n.span(),
            Statement::Never(n) => n.span(),
        }
    }
    /// Whether it is a head line.
    pub fn is_head(&self) -> bool {
        use Statement::*;
        matches!(self, Subject(_) | Mode(_) | Governs(_) | Active(_) | OnViolation(_))
    }
}

macro_rules! with_statements {
    ($($name:ident)*) => {$(
        impl $name {
            /// All statements, in order.
            pub fn statements(&self) -> impl Iterator<Item = Statement> + use<> { self.0.children().filter_map(Statement::cast) }
        }
    )*};
}
with_statements!(Profile Guard Abstraction);
