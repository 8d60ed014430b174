//! The nodes.

use std::ops::Range;

use super::super::syntax::{Pdl, SyntaxKind, SyntaxNode};

macro_rules! nodes {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(pub(super) SyntaxNode);
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
