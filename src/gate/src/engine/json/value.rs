//! A value as a tree: the slow way, for the few fields that hold more than a string or a number.

use super::{Habits, Kind, NO_HIT, Schema, Token, decode_string, scan};

/// A JSON value. Numbers keep their text, so nothing is lost.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer, as written.
    Int(String),
    /// Any other number, the infinities and NaN.
    Float(f64),
    /// A string, WTF-8.
    Text(Vec<u8>),
    /// An array.
    List(Vec<Value>),
    /// An object: keys in the order of their first occurrence, each with its last value.
    Map(Vec<(Vec<u8>, Value)>),
}

/// The tree of one token of a scanned line.
pub fn parse_token(token: Token, line: &[u8]) -> Value {
    let raw = token.raw(line);
    let text = || String::from_utf8_lossy(raw).into_owned();
    match token.kind {
        Kind::Missing | Kind::Null => Value::Null,
        Kind::True => Value::Bool(true),
        Kind::False => Value::Bool(false),
        Kind::Int => Value::Int(text()),
        // The scanner let only number literals through.
        Kind::Float => Value::Float(text().parse().unwrap_or(f64::NAN)),
        Kind::Nan => Value::Float(f64::NAN),
        Kind::Infinity => Value::Float(f64::INFINITY),
        Kind::NegInfinity => Value::Float(f64::NEG_INFINITY),
        Kind::Plain | Kind::Escaped => {
            let mut bytes = Vec::new();
            decode_string(token.inner(line), &mut bytes);
            Value::Text(bytes)
        }
        Kind::Array | Kind::Object => Tree { line: raw, at: 0 }.value(),
    }
}

/// Walks text that has already been accepted, so it checks nothing and stops at the end.
struct Tree<'a> {
    line: &'a [u8],
    at: usize,
}

struct Nothing;

impl Schema for Nothing {
    fn key(&self, _: u8, _: &[u8]) -> super::Hit {
        NO_HIT
    }
    fn clear(&self, _: u8, _: &mut [Token]) {}
}

impl Tree<'_> {
    fn skip(&mut self, also: u8) -> u8 {
        while let Some(b) = self.line.get(self.at) {
            if matches!(b, b' ' | b'\t' | b'\n' | b'\r') || *b == also {
                self.at += 1;
            } else {
                return *b;
            }
        }
        0
    }

    fn value(&mut self) -> Value {
        match self.skip(b':') {
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while !matches!(self.skip(b','), b']' | 0) {
                    items.push(self.value());
                }
                self.at += 1;
                Value::List(items)
            }
            b'{' => {
                self.at += 1;
                let mut entries: Vec<(Vec<u8>, Value)> = Vec::new();
                let mut places = std::collections::HashMap::new();
                while !matches!(self.skip(b','), b'}' | 0) {
                    let Value::Text(key) = self.scalar() else { break };
                    let value = self.value();
                    let place = *places.entry(key.clone()).or_insert(entries.len());
                    match entries.get_mut(place) {
                        Some(entry) => entry.1 = value,
                        None => entries.push((key, value)),
                    }
                }
                self.at += 1;
                Value::Map(entries)
            }
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Value {
        let start = self.at;
        if self.line.get(start) == Some(&b'"') {
            self.at += 1;
            while let Some(b) = self.line.get(self.at) {
                match b {
                    b'\\' => self.at += 2,
                    b'"' => break,
                    _ => self.at += 1,
                }
            }
            self.at = (self.at + 1).min(self.line.len());
        } else {
            while self
                .line
                .get(self.at)
                .is_some_and(|b| !matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'))
            {
                self.at += 1;
            }
        }
        let raw = &self.line[start..self.at];
        let token =
            std::str::from_utf8(raw).ok().and_then(|text| scan(text, &Nothing, &mut [], &mut Habits::default()).ok());
        token.map_or(Value::Null, |token| parse_token(token, raw))
    }
}
