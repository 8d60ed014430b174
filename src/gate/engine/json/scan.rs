//! The single pass.

use super::error::{JsonError, Problem};

/// Containers that may be open at once, the line's own object among them: CPython's recursion limit as the reference
/// meets it, and a bound on this reader's stack.
pub const MAX_DEPTH: u32 = 993;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Kind {
    /// Not there.
    #[default]
    Missing,
    /// `null`.
    Null,
    /// `true`.
    True,
    /// `false`.
    False,
    /// An integer.
    Int,
    /// A number with a fraction or an exponent.
    Float,
    /// `NaN`.
    Nan,
    /// `Infinity`.
    Infinity,
    /// `-Infinity`.
    NegInfinity,
    /// A string of printable ASCII without escapes: its bytes are its value.
    Plain,
    /// Any other string.
    Escaped,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A value's kind and where it stands, quotes and brackets included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Token {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// What it is.
    pub kind: Kind,
}

impl Token {
    /// The value's bytes as written.
    pub fn raw<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }

    /// A string's bytes between its quotes, still escaped.
    pub fn inner<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.start as usize + 1..(self.end as usize).saturating_sub(1)).unwrap_or(&[])
    }

    /// Whether the key is there, with whatever value.
    pub fn is_present(&self) -> bool {
        self.kind != Kind::Missing
    }

    /// A string, number, boolean, array or object: neither absent nor `null` nor the empty string.
    pub fn is_set(&self) -> bool {
        match self.kind {
            Kind::Missing | Kind::Null => false,
            Kind::Plain => self.end - self.start > 2,
            _ => true,
        }
    }
}

/// What to do with a key's value.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// The slot that keeps its token, or 255.
    pub slot: u8,
    /// The node whose keys to look for within it, or 255.
    pub node: u8,
}

/// Skip the value.
pub const NO_HIT: Hit = Hit { slot: 255, node: 255 };

/// Which keys are wanted where.
pub trait Schema {
    /// The node of the line's own object is 0.
    fn key(&self, node: u8, key: &[u8]) -> Hit;
    /// Forgets what an earlier value of the same key left behind: in JSON the last one counts.
    fn clear(&self, node: u8, slots: &mut [Token]);
}

/// Reads one line that has to hold one value, and fills `slots` where it is an object. Returns the value's token.
///
/// # Errors
/// The first thing that CPython's reader would object to.
pub fn scan(line: &str, schema: &impl Schema, slots: &mut [Token]) -> Result<Token, JsonError> {
    if line.starts_with('\u{feff}') {
        return Err(JsonError { problem: Problem::ByteOrderMark, at: 0 });
    }
    let mut scanner = Scanner { bytes: line.as_bytes(), at: 0, depth: 0, schema, slots };
    scanner.space();
    let token = scanner.value(0)?;
    scanner.space();
    if scanner.at < line.len() {
        return Err(scanner.error(Problem::ExtraData, scanner.at));
    }
    Ok(token)
}

struct Scanner<'a, 's, S> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    schema: &'s S,
    slots: &'s mut [Token],
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// A high bit at (at least) the first byte of `word` that is a quote, a backslash, a control character, DEL or not ASCII.
#[inline(always)]
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let delete = word ^ (ONES * 0x7f);
    let zero = |v: u64| v.wrapping_sub(ONES) & !v;
    (zero(quote) | zero(slash) | zero(delete) | (word.wrapping_sub(ONES * 0x20) & !word) | word) & HIGHS
}

impl<S: Schema> Scanner<'_, '_, S> {
    fn error(&self, problem: Problem, at: usize) -> JsonError {
        JsonError { problem, at }
    }

    #[inline(always)]
    fn peek(&self) -> u8 {
        // 0 stands for the end: it is no token's start, so both lead to the same error.
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn token(&self, start: usize, kind: Kind) -> Token {
        Token { start: start as u32, end: self.at as u32, kind }
    }

    #[inline]
    fn value(&mut self, node: u8) -> Result<Token, JsonError> {
        let start = self.at;
        match self.peek() {
            b'"' => self.string(),
            b'{' => {
                self.object(node)?;
                Ok(self.token(start, Kind::Object))
            }
            b'[' => {
                self.array()?;
                Ok(self.token(start, Kind::Array))
            }
            b'0'..=b'9' => self.number(),
            b'-' if self.bytes[start..].starts_with(b"-Infinity") => self.word(9, Kind::NegInfinity),
            b'-' => self.number(),
            b'n' if self.bytes[start..].starts_with(b"null") => self.word(4, Kind::Null),
            b't' if self.bytes[start..].starts_with(b"true") => self.word(4, Kind::True),
            b'f' if self.bytes[start..].starts_with(b"false") => self.word(5, Kind::False),
            b'N' if self.bytes[start..].starts_with(b"NaN") => self.word(3, Kind::Nan),
            b'I' if self.bytes[start..].starts_with(b"Infinity") => self.word(8, Kind::Infinity),
            _ => Err(self.error(Problem::ExpectingValue, start)),
        }
    }

    fn word(&mut self, length: usize, kind: Kind) -> Result<Token, JsonError> {
        let start = self.at;
        self.at += length;
        Ok(self.token(start, kind))
    }

    fn object(&mut self, node: u8) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(Problem::ObjectTooDeep, self.at));
        }
        self.depth += 1;
        self.at += 1;
        self.space();
        if self.peek() != b'}' {
            loop {
                if self.peek() != b'"' {
                    return Err(self.error(Problem::ExpectingName, self.at));
                }
                let key = self.string()?;
                if self.peek() != b':' {
                    self.space();
                    if self.peek() != b':' {
                        return Err(self.error(Problem::ExpectingColon, self.at));
                    }
                }
                self.at += 1;
                self.space();
                let hit = if node == NO_HIT.node { NO_HIT } else { self.look_up(node, key) };
                if hit.node != NO_HIT.node {
                    self.schema.clear(hit.node, self.slots);
                }
                let value = self.value(hit.node)?;
                if let Some(slot) = self.slots.get_mut(hit.slot as usize) {
                    *slot = value;
                }
                self.space();
                match self.peek() {
                    b',' => self.at += 1,
                    b'}' => break,
                    _ => return Err(self.error(Problem::ExpectingComma, self.at)),
                }
                self.space();
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    #[inline(always)]
    fn look_up(&self, node: u8, key: Token) -> Hit {
        if key.kind == Kind::Plain {
            return self.schema.key(node, key.inner(self.bytes));
        }
        let mut decoded = Vec::new();
        super::decode_string(key.inner(self.bytes), &mut decoded);
        self.schema.key(node, &decoded)
    }

    fn array(&mut self) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(Problem::ArrayTooDeep, self.at));
        }
        self.depth += 1;
        self.at += 1;
        self.space();
        if self.peek() != b']' {
            loop {
                self.value(NO_HIT.node)?;
                self.space();
                match self.peek() {
                    b',' => self.at += 1,
                    b']' => break,
                    _ => return Err(self.error(Problem::ExpectingComma, self.at)),
                }
                self.space();
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    #[inline]
    fn string(&mut self) -> Result<Token, JsonError> {
        let start = self.at;
        let mut kind = Kind::Plain;
        self.at += 1;
        loop {
            while let Some(chunk) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
                let mask = special(u64::from_le_bytes(*chunk));
                if mask != 0 {
                    self.at += (mask.trailing_zeros() / 8) as usize;
                    break;
                }
                self.at += 8;
            }
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.token(start, kind));
                }
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.escape(start)?;
                }
                Some(0..=0x1f) => return Err(self.error(Problem::ControlCharacter, self.at)),
                Some(0x7f..) => {
                    kind = Kind::Escaped;
                    self.at += 1;
                }
                Some(_) => self.at += 1,
                None => return Err(self.error(Problem::Unterminated, start)),
            }
        }
    }

    /// A backslash and what belongs to it. The bounds and positions are those of CPython's scanner, oddities included.
    fn escape(&mut self, string: usize) -> Result<(), JsonError> {
        let slash = self.at;
        match self.bytes.get(slash + 1) {
            None => Err(self.error(Problem::Unterminated, string)),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at = slash + 2;
                Ok(())
            }
            Some(b'u') => {
                let unit = self.hex4(slash)?;
                self.at = slash + 6;
                let next = slash + 6;
                let pair = (0xd800..0xdc00).contains(&unit)
                    && self.chars_left_exceed(next, 6)
                    && self.bytes.get(next..next + 2) == Some(b"\\u");
                if pair && (0xdc00..0xe000).contains(&self.hex4(next)?) {
                    self.at = next + 6;
                }
                Ok(())
            }
            Some(_) => Err(self.error(Problem::BadEscape, slash)),
        }
    }

    /// Whether more than `count` characters remain from byte `from`.
    fn chars_left_exceed(&self, from: usize, count: usize) -> bool {
        self.bytes.get(from..).is_some_and(|rest| rest.iter().filter(|b| (**b as i8) >= -0x40).nth(count).is_some())
    }

    /// The four digits of the `\u` at `slash`; an error is reported at the `u`.
    fn hex4(&self, slash: usize) -> Result<u32, JsonError> {
        let bad = JsonError { problem: Problem::BadUnicodeEscape, at: slash + 1 };
        if !self.chars_left_exceed(slash + 2, 4) {
            return Err(bad);
        }
        let digits = self.bytes.get(slash + 2..slash + 6).ok_or(bad)?;
        digits.iter().try_fold(0, |unit, b| Ok(unit * 16 + (*b as char).to_digit(16).ok_or(bad)?))
    }

    #[inline]
    fn number(&mut self) -> Result<Token, JsonError> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        let first = self.at;
        match self.peek() {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err(self.error(Problem::ExpectingValue, start)),
        }
        let whole = self.at;
        let mut kind = Kind::Int;
        if self.peek() == b'.' && self.bytes.get(self.at + 1).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
            self.digits();
            kind = Kind::Float;
        }
        if matches!(self.peek(), b'e' | b'E') {
            let mantissa = self.at;
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if self.peek().is_ascii_digit() {
                self.digits();
                kind = Kind::Float;
            } else {
                self.at = mantissa;
            }
        }
        if kind == Kind::Int && whole - first > 4300 {
            return Err(self.error(Problem::IntegerTooLong(whole - first), start));
        }
        Ok(self.token(start, kind))
    }

    #[inline]
    fn digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }
}
