//! The tree with types. Every accessor may find nothing, because a tree exists for every text.

use std::ops::Range;

use rowan::ast::support;

use super::syntax::{Pdl, SyntaxKind, SyntaxNode, SyntaxToken};

macro_rules! nodes {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(SyntaxNode);
        impl rowan::ast::AstNode for $name {
            type Language = Pdl;
            fn can_cast(kind: SyntaxKind) -> bool { kind == SyntaxKind::$name }
            fn cast(node: SyntaxNode) -> Option<Self> { Self::can_cast(node.kind()).then_some($name(node)) }
            fn syntax(&self) -> &SyntaxNode { &self.0 }
        }
        impl $name {
            /// Its bytes in the text, without the white space around it.
            pub fn span(&self) -> Range<usize> { span(&self.0) }
        }
    )*};
}

nodes! {
    /// A whole file.
    File;
    /// `pdl 1;`
    Edition;
    /// `import …;`
    Import;
    /// `let …;`
    Let;
    /// `window …`
    Window;
    /// A line of a window.
    WindowSpan;
    /// `mon-fri`
    DayRange;
    /// `abstraction …`
    Abstraction;
    /// `name: type = default`
    Param;
    /// `profile …`
    Profile;
    /// `guard …`
    Guard;
    /// `subject …;`
    Subject;
    /// `mode …;`
    Mode;
    /// `governs …;`
    Governs;
    /// `active during …;`
    Active;
    /// `on violation …;`
    OnViolation;
    /// `unit "nginx.service"`
    Selector;
    /// `use …;`
    Use;
    /// The arguments of a `use`.
    Args;
    /// `limit …;`
    Limit;
    /// `read 10MiB/s`
    IoRate;
    /// `allow …;`, `deny …;`, `watch …;`
    Rule;
    /// `never allow …;`
    Never;
    /// Verbs and paths.
    FileObject;
    /// A verb, protocol, address and ports.
    NetObject;
    /// A verb and unix sockets.
    UnixObject;
    /// Capabilities, kernel operations or system calls.
    NamesObject;
    /// File verbs or classes.
    Verbs;
    /// `as …`
    Switch;
    /// `to …`, `from …`, `on …`
    Address;
    /// `dns …`
    Dns;
    /// Strings and variables.
    Terms;
    /// A string or variable.
    Term;
    /// `except …`
    Except;
    /// `port …`
    Ports;
    /// One port, range or variable.
    Port;
    /// Names of a class.
    Names;
    /// A name.
    Name;
    /// `during …`
    During;
    /// `by …`
    By;
    /// `severity … then …`
    Outcome;
    /// `because …`
    Because;
    /// `manifest "…"`
    Ref;
    /// A string.
    Literal;
    /// A number or range of numbers.
    PortRange;
    /// `[…]`
    List;
    /// `$name`
    Var;
    /// `a.b`
    Dotted;
}

/// A node's bytes. Nodes begin at a token with meaning; trivia within the end is cut.
pub fn span(node: &SyntaxNode) -> Range<usize> {
    let mut end = node.text_range().end();
    let mut last = node.last_token();
    while let Some(token) = last.filter(|t| t.kind().is_trivia() && t.text_range().end() <= end) {
        end = token.text_range().start();
        last = token.prev_token();
    }
    let start = node.text_range().start();
    start.into()..end.max(start).into()
}

fn words(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> + use<> {
    tokens(node).filter(|t| t.kind() == SyntaxKind::Word)
}

fn tokens(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> + use<> {
    node.children_with_tokens().filter_map(|e| e.into_token()).filter(|t| !t.kind().is_trivia())
}

fn word_after(node: &SyntaxNode, before: &str) -> Option<SyntaxToken> {
    words(node).skip_while(|t| t.text() != before).nth(1)
}

fn token(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxToken> {
    tokens(node).find(|t| t.kind() == kind)
}

macro_rules! accessors {
    ($($name:ident { $($(#[$meta:meta])* $method:ident: $what:tt $child:ty;)* })*) => {$(
        impl $name { $(accessors!(@one $(#[$meta])* $method $what $child);)* }
    )*};
    (@one $(#[$meta:meta])* $method:ident one $child:ty) => {
        $(#[$meta])* pub fn $method(&self) -> Option<$child> { support::child(&self.0) }
    };
    (@one $(#[$meta:meta])* $method:ident many $child:ty) => {
        $(#[$meta])* pub fn $method(&self) -> impl Iterator<Item = $child> + use<> { support::children(&self.0) }
    };
}

accessors! {
    File {
        /// `pdl 1;`
        edition: one Edition;
        /// In order.
        imports: many Import;
        /// In order.
        lets: many Let;
        /// In order.
        windows: many Window;
        /// In order.
        abstractions: many Abstraction;
        /// In order.
        profiles: many Profile;
        /// In order.
        guards: many Guard;
    }
    Import {
        /// After `as`.
        name: one Name;
    }
    Let {
        /// What is defined.
        name: one Name;
    }
    Window {
        /// What is defined.
        name: one Name;
        /// Its lines.
        spans: many WindowSpan;
    }
    WindowSpan {
        /// None for `daily`.
        days: many DayRange;
    }
    Abstraction {
        /// What is defined.
        name: one Name;
    }
    Param {
        /// What is defined.
        name: one Name;
    }
    Profile {
        /// What is defined.
        name: one Name;
    }
    Guard {
        /// What is defined.
        name: one Name;
    }
    Subject {
        /// All must match.
        selectors: many Selector;
    }
    Governs {
        /// The classes.
        classes: one Verbs;
    }
    Active {
        /// The window.
        window: one Dotted;
        /// Why.
        because: one Because;
    }
    OnViolation {
        /// After `of`.
        classes: one Verbs;
        /// What follows.
        outcome: one Outcome;
    }
    Use {
        /// The abstraction.
        target: one Dotted;
        /// In parentheses.
        args: one Args;
        /// Goes to every rule.
        because: one Because;
    }
    Limit {
        /// Of `io`.
        rates: many IoRate;
        /// The condition.
        during: one During;
        /// What follows.
        outcome: one Outcome;
        /// Why.
        because: one Because;
    }
    Rule {
        /// `during`
        during: many During;
        /// `by`
        by: many By;
        /// What follows.
        outcome: one Outcome;
        /// Why.
        because: one Because;
    }
    Never {
        /// Why.
        because: one Because;
    }
    FileObject {
        /// The verbs.
        verbs: one Verbs;
        /// The paths.
        terms: one Terms;
        /// Those that it does not mean.
        except: one Except;
        /// `as …`
        switch: one Switch;
    }
    NetObject {
        /// The verb.
        verbs: one Verbs;
        /// None where the rule names none.
        address: one Address;
        /// None where the rule names none.
        ports: one Ports;
    }
    UnixObject {
        /// The verb.
        verbs: one Verbs;
        /// The sockets.
        terms: one Terms;
        /// Those that it does not mean.
        except: one Except;
    }
    Except {
        /// The patterns.
        terms: one Terms;
    }
    NamesObject {
        /// The names.
        names: one Names;
    }
    Names {
        /// One by one.
        names: many Name;
    }
    Address {
        /// `dns …`
        dns: one Dns;
        /// Blocks.
        terms: one Terms;
    }
    Ports {
        /// One by one.
        ports: many Port;
    }
    Terms {
        /// One by one.
        terms: many Term;
    }
    Name {
        /// `$name` in the place of a name.
        var: one Var;
    }
    During {
        /// The window.
        window: one Dotted;
    }
    By {
        /// All must match.
        selectors: many Selector;
    }
    Because {
        /// One by one.
        refs: many Ref;
    }
    Var {
        /// Behind the `$`.
        target: one Dotted;
    }
}

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

fn object(node: &SyntaxNode) -> Option<Object> {
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
