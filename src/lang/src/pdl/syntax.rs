//! Kinds of tokens and nodes of the lossless tree.

use logos::Logos;

macro_rules! kinds {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident,)* }) => {
        $(#[$meta])*
        pub enum $name { $($(#[$vmeta])* $variant,)* }
        impl $name {
            /// Every kind, by number.
            const ALL: &'static [$name] = &[$($name::$variant,)*];
        }
    };
}

kinds! {
    /// What a token or node is. Words are not keywords: the parser knows them by their place, so that `read` can
    /// name a profile and `kill` a capability.
    #[allow(
        missing_docs,
        reason = "the token kinds are given by their patterns, the node kinds by the grammar in docs/pdl.md"
    )]
    #[derive(Logos, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[repr(u16)]
    SyntaxKind {
        #[regex(r"[ \t\r\n]+")]
        Whitespace,
        #[regex(r"#[^\n]*", allow_greedy = true)]
        Comment,
        #[regex(r"[a-z][a-z0-9_]*")]
        Word,
        #[regex(r#""([^"\\\n]|\\[^\n])*""#)]
        Str,
        #[regex(r#""([^"\\\n]|\\[^\n])*\\?"#)]
        UnterminatedStr,
        #[regex(r"[0-9]+")]
        Int,
        #[regex(r"[0-9]+:[0-9]+")]
        Time,
        #[regex(r"[0-9]+(%|[A-Za-z]+(/s)?)")]
        Quantity,
        #[regex(r"@[a-z][a-z0-9_-]*")]
        Group,
        #[token("$")]
        Dollar,
        #[token("{")]
        LBrace,
        #[token("}")]
        RBrace,
        #[token("(")]
        LParen,
        #[token(")")]
        RParen,
        #[token("[")]
        LBracket,
        #[token("]")]
        RBracket,
        #[token(",")]
        Comma,
        #[token(";")]
        Semicolon,
        #[token("=")]
        Equals,
        #[token(":")]
        Colon,
        #[token("-")]
        Dash,
        #[token(".")]
        Dot,
        /// Bytes that no token starts with.
        ErrorToken,
        /// The end of the text; never in a tree.
        Eof,

        File,
        Edition,
        Import,
        Let,
        Window,
        WindowSpan,
        DayRange,
        Abstraction,
        ParamList,
        Param,
        Profile,
        Guard,
        Subject,
        Mode,
        Governs,
        Active,
        OnViolation,
        Selector,
        Use,
        Args,
        Limit,
        IoRate,
        Rule,
        Never,
        FileObject,
        NetObject,
        UnixObject,
        NamesObject,
        Verbs,
        Switch,
        Address,
        Dns,
        Terms,
        Term,
        Except,
        Ports,
        Port,
        Names,
        Name,
        During,
        By,
        Outcome,
        Because,
        Ref,
        Literal,
        PortRange,
        List,
        Var,
        Dotted,
        /// What the parser skipped.
        Error,
    }
}

impl SyntaxKind {
    /// Whether the token has no meaning: white space and comments.
    pub const fn is_trivia(self) -> bool {
        matches!(self, SyntaxKind::Whitespace | SyntaxKind::Comment)
    }

    /// How a message names a token of this kind.
    pub const fn describe(self) -> &'static str {
        match self {
            SyntaxKind::Word => "a word",
            SyntaxKind::Str | SyntaxKind::UnterminatedStr => "a quoted string",
            SyntaxKind::Int => "a number",
            SyntaxKind::Time => "a time like 22:00",
            SyntaxKind::Quantity => "an amount like 512MiB",
            SyntaxKind::Group => "a group like @system-service",
            SyntaxKind::Dollar => "`$`",
            SyntaxKind::LBrace => "`{`",
            SyntaxKind::RBrace => "`}`",
            SyntaxKind::LParen => "`(`",
            SyntaxKind::RParen => "`)`",
            SyntaxKind::LBracket => "`[`",
            SyntaxKind::RBracket => "`]`",
            SyntaxKind::Comma => "`,`",
            SyntaxKind::Semicolon => "`;`",
            SyntaxKind::Equals => "`=`",
            SyntaxKind::Colon => "`:`",
            SyntaxKind::Dash => "`-`",
            SyntaxKind::Dot => "`.`",
            SyntaxKind::Eof => "the end of the file",
            _ => "this",
        }
    }
}

impl From<SyntaxKind> for rowan::SyntaxKind {
    fn from(kind: SyntaxKind) -> Self {
        rowan::SyntaxKind(kind as u16)
    }
}

/// PDL, as rowan sees a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pdl {}

impl rowan::Language for Pdl {
    type Kind = SyntaxKind;
    fn kind_from_raw(raw: rowan::SyntaxKind) -> SyntaxKind {
        SyntaxKind::ALL.get(raw.0 as usize).copied().unwrap_or(SyntaxKind::Error)
    }
    fn kind_to_raw(kind: SyntaxKind) -> rowan::SyntaxKind {
        kind.into()
    }
}

/// A node of the tree.
pub type SyntaxNode = rowan::SyntaxNode<Pdl>;
/// A token of the tree.
pub type SyntaxToken = rowan::SyntaxToken<Pdl>;
/// A node or token of the tree.
pub type SyntaxElement = rowan::SyntaxElement<Pdl>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_at_their_numbers() {
        for (n, kind) in SyntaxKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, n, "{kind:?}");
        }
        assert_eq!(SyntaxKind::ALL.last(), Some(&SyntaxKind::Error));
    }
}
