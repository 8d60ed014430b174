//! A word from elsewhere: one that this version knows, or one that only its sender does.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A type whose values are words.
pub trait Vocabulary: Copy + Eq + 'static {
    /// All that this version knows.
    fn all() -> &'static [Self];
    /// The word for a value.
    fn word(self) -> &'static str;
}

/// Types whose values are words, each with its number and its text.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $n:literal $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $n,)* }
        impl $name {
            /// All values, least first.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The word for it in PDL and on the wire.
            pub const fn name(self) -> &'static str { match self { $($name::$variant => $text,)* } }
            /// The value of a number of abi.h.
            pub fn from_number(n: u8) -> Option<$name> { $name::ALL.iter().copied().find(|v| *v as u8 == n) }
        }
        impl $crate::model::Vocabulary for $name {
            fn all() -> &'static [$name] { $name::ALL }
            fn word(self) -> &'static str { self.name() }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.name()) }
        }
        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(s: &str) -> Result<Self, String> {
                $name::ALL.iter().copied().find(|v| v.name() == s).ok_or_else(|| s.to_owned())
            }
        }
    };
}
pub(crate) use words;

/// A word as it came. What a newer peer says is neither refused nor lost: it stays the text that it was.
///
/// [`Word::of`] makes it, so that no word that is known is ever [`Word::Other`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Word<T, S = String> {
    /// A word of this version.
    Known(T),
    /// Any other.
    Other(S),
}

impl<T: Vocabulary, S: AsRef<[u8]>> Word<T, S> {
    /// The word that a text is.
    pub fn of(text: S) -> Word<T, S> {
        match T::all().iter().find(|known| known.word().as_bytes() == text.as_ref()) {
            Some(known) => Word::Known(*known),
            None => Word::Other(text),
        }
    }

    /// What it means, if this version knows.
    pub fn known(&self) -> Option<T> {
        match self {
            Word::Known(known) => Some(*known),
            Word::Other(_) => None,
        }
    }

    /// The text.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Word::Known(known) => known.word().as_bytes(),
            Word::Other(text) => text.as_ref(),
        }
    }
}

impl<T, S> From<T> for Word<T, S> {
    fn from(known: T) -> Word<T, S> {
        Word::Known(known)
    }
}

impl<T: PartialEq, S> PartialEq<T> for Word<T, S> {
    fn eq(&self, other: &T) -> bool {
        matches!(self, Word::Known(known) if known == other)
    }
}

impl<T: Vocabulary> FromStr for Word<T> {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Word<T>, Infallible> {
        Ok(Word::of(text.to_owned()))
    }
}

impl<T: Vocabulary> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Word::Known(known) => known.word(),
            Word::Other(text) => text,
        })
    }
}

impl<T: Vocabulary> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: Vocabulary> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Word<T>, D::Error> {
        String::deserialize(deserializer).map(Word::of)
    }
}

/// The OpenAPI schema of a [`Word`]: a known one, or any text.
#[cfg(feature = "openapi")]
pub fn word_schema<T: utoipa::ToSchema>() -> utoipa::openapi::schema::Schema {
    use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Type};
    let other = ObjectBuilder::new().schema_type(Type::String).description(Some("A word of a newer agent"));
    AnyOfBuilder::new().item(utoipa::openapi::Ref::from_schema_name(T::name())).item(other).build().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Action, BlockKind, EventMode, Mode, Severity, Verb, Verdict};
    use super::*;

    /// What each word was on the wire before it was a type.
    #[test]
    fn words_are_those_of_the_wire() {
        fn all<T: Vocabulary>() -> String {
            T::all().iter().map(|known| known.word()).collect::<Vec<_>>().join(" ")
        }
        assert_eq!(all::<Verdict>(), "denied would_deny watched attached");
        assert_eq!(all::<BlockKind>(), "profile guard");
        assert_eq!(all::<EventMode>(), "enforce audit learn watch");
        assert_eq!(all::<Severity>(), "low medium high critical");
        assert_eq!(all::<Action>(), "alert throttle quarantine kill");
        assert_eq!(
            all::<Verb>(),
            "read modify create delete setattr exec load bind connect accept capability kernel syscall"
        );
        assert!(Mode::ALL.iter().all(|mode| EventMode::from(Some(*mode)).name() == mode.name()));
    }

    /// A type's own JSON is its word's.
    #[test]
    fn a_value_and_its_word_are_one_text() {
        fn same<T: Vocabulary + Serialize + fmt::Debug>() {
            for known in T::all() {
                let word: Word<T> = Word::of(known.word().to_owned());
                assert_eq!(word, *known);
                assert_eq!(serde_json::to_string(known).unwrap(), serde_json::to_string(&word).unwrap());
            }
        }
        same::<Verdict>();
        same::<BlockKind>();
        same::<EventMode>();
        same::<Severity>();
        same::<Action>();
        same::<Verb>();
    }

    proptest! {
        #[test]
        fn any_text_is_the_same_text_again(text in "\\PC{0,12}|denied|would_deny|exec|kill") {
            let json = serde_json::to_string(&text).unwrap();
            let word: Word<Verdict> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(serde_json::to_string(&word).unwrap(), json);
            prop_assert_eq!(word.bytes(), text.as_bytes());
            prop_assert_eq!(word.known().is_some(), text.parse::<Verdict>().is_ok());
        }
    }
}
