//! The fields of a line.

use std::borrow::Cow;

use kiln_base::model::{Vocabulary, Word};

use super::schema::{S, SLOTS};
use crate::engine::event::{PolicyWord, Text};
use crate::engine::json::{self, Kind, Token, decode_string};

/// A line's tokens.
pub(crate) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) slots: &'a [Token; SLOTS],
}

impl<'a> Line<'a> {
    pub(super) fn at(&self, slot: S) -> Token {
        self.slots.get(slot as usize).copied().unwrap_or_default()
    }

    pub(super) fn has(&self, slot: S) -> bool {
        self.at(slot).is_set()
    }

    /// A string's value, a number's digits; anything else is nothing.
    fn token_text(&self, token: Token) -> Text<'a> {
        match token.kind {
            Kind::Plain => Cow::Borrowed(token.inner(self.bytes)),
            Kind::Escaped => {
                let mut out = Vec::new();
                decode_string(token.inner(self.bytes), &mut out);
                Cow::Owned(out)
            }
            Kind::Int | Kind::Float => Cow::Borrowed(token.raw(self.bytes)),
            _ => Cow::Borrowed(b""),
        }
    }

    pub(super) fn text(&self, slot: S) -> Text<'a> {
        match self.token_text(self.at(slot)) {
            // Falco's word for "not available".
            text if *text == *b"<NA>" => Cow::Borrowed(b""),
            text => text,
        }
    }

    /// A word of the policy's, where there is one.
    pub(super) fn word<T: Vocabulary>(&self, slot: S) -> Option<PolicyWord<'a, T>> {
        Some(self.text(slot)).filter(|text| !text.is_empty()).map(Word::of)
    }

    /// The first slot that holds something.
    pub(super) fn first(&self, slots: &[S]) -> Text<'a> {
        slots.iter().map(|slot| self.text(*slot)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    pub(super) fn number(&self, slot: S) -> Option<u64> {
        let token = self.at(slot);
        match token.kind {
            Kind::Int | Kind::Plain => std::str::from_utf8(&self.token_text(token)).ok()?.trim().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn flag(&self, slot: S) -> Option<bool> {
        let token = self.at(slot);
        match token.kind {
            Kind::True => Some(true),
            Kind::False => Some(false),
            Kind::Plain | Kind::Int => match &*self.token_text(token) {
                b"1" | b"true" | b"yes" => Some(true),
                b"0" | b"false" | b"no" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The strings of an array.
    pub(super) fn list(&self, slot: S) -> Vec<Text<'a>> {
        let token = self.at(slot);
        if token.kind != Kind::Array {
            return Vec::new();
        }
        let mut items = Vec::new();
        let (mut rest, mut offset) = (token.raw(self.bytes), token.start);
        // Strings of an array that has been scanned; more than 64 tags say no more than 64 do.
        while let (Some(open), true) = (memchr::memchr(b'"', rest), items.len() < 64) {
            let mut close = open + 1;
            while rest.get(close).is_some_and(|b| *b != b'"') {
                close += if rest[close] == b'\\' { 2 } else { 1 };
            }
            let end = (close + 1).min(rest.len());
            let kind =
                if json::is_plain(rest.get(open + 1..close).unwrap_or(&[])) { Kind::Plain } else { Kind::Escaped };
            items.push(self.token_text(Token { start: offset + open as u32, end: offset + end as u32, kind }));
            offset += end as u32;
            rest = &rest[end..];
        }
        items
    }
}

/// The last component of a path.
pub(super) fn base_name(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..])
}

/// The same of an owned or borrowed text.
pub(super) fn base_text<'a>(path: &Text<'a>) -> Text<'a> {
    match path {
        Cow::Borrowed(path) => Cow::Borrowed(base_name(path)),
        Cow::Owned(path) => Cow::Owned(base_name(path).to_vec()),
    }
}
