//! The single pass.

use super::error::{JsonError, Problem};
use super::habits::Habits;
use super::hit::{Hit, NO_HIT};
use super::mask::{BLOCK, special};

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

    /// Where a string's bytes between its quotes begin and end.
    #[inline(always)]
    pub fn inner_range(&self) -> (usize, usize) {
        (self.start as usize + 1, (self.end as usize).saturating_sub(1))
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
pub fn scan(line: &str, schema: &impl Schema, slots: &mut [Token], habits: &mut Habits) -> Result<Token, JsonError> {
    if line.starts_with('\u{feff}') {
        return Err(JsonError { problem: Problem::ByteOrderMark, at: 0 });
    }
    habits.start();
    let mut scanner = Scanner { bytes: line.as_bytes(), depth: 0, block: usize::MAX, mask: 0, schema, slots, habits };
    let start = scanner.space(0);
    let (kind, end) = scanner.value(start, 0)?;
    let rest = scanner.space(end);
    if rest < line.len() {
        return Err(error(Problem::ExtraData, rest));
    }
    Ok(token(start, end, kind))
}

/// The functions take a place and return where they end: places live in registers.
struct Scanner<'a, S> {
    bytes: &'a [u8],
    depth: u32,
    /// The block that `mask` is about.
    block: usize,
    mask: u64,
    schema: &'a S,
    slots: &'a mut [Token],
    habits: &'a mut Habits,
}

fn error(problem: Problem, at: usize) -> JsonError {
    JsonError { problem, at }
}

#[inline(always)]
fn token(start: usize, end: usize, kind: Kind) -> Token {
    Token { start: start as u32, end: end as u32, kind }
}

impl<S: Schema> Scanner<'_, S> {
    /// The byte at `at`; 0 stands for the end: it is no token's start, so both lead to the same error.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn space(&self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\t' | b'\n' | b'\r') {
            at += 1;
        }
        at
    }

    #[inline(always)]
    fn value(&mut self, at: usize, node: u8) -> Result<(Kind, usize), JsonError> {
        match self.byte(at) {
            b'"' => self.string(at),
            b'0'..=b'9' => self.number(at),
            b'{' => Ok((Kind::Object, self.object(at, node)?)),
            b'[' => Ok((Kind::Array, self.array(at)?)),
            _ => self.word(at),
        }
    }

    #[inline(never)]
    fn word(&self, at: usize) -> Result<(Kind, usize), JsonError> {
        let words: [(&[u8], Kind); 6] = [
            (b"null", Kind::Null),
            (b"true", Kind::True),
            (b"false", Kind::False),
            (b"NaN", Kind::Nan),
            (b"Infinity", Kind::Infinity),
            (b"-Infinity", Kind::NegInfinity),
        ];
        let rest = self.bytes.get(at..).unwrap_or(&[]);
        match words.iter().find(|(word, _)| rest.starts_with(word)) {
            Some((word, kind)) => Ok((*kind, at + word.len())),
            None if rest.first() == Some(&b'-') => self.number(at),
            None => Err(error(Problem::ExpectingValue, at)),
        }
    }

    #[inline(never)]
    fn object(&mut self, start: usize, node: u8) -> Result<usize, JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(error(Problem::ObjectTooDeep, start));
        }
        self.depth += 1;
        let mut at = self.space(start + 1);
        if self.byte(at) != b'}' {
            loop {
                let (hit, value) = self.key(at, node)?;
                if hit.node != NO_HIT.node {
                    self.schema.clear(hit.node, self.slots);
                }
                let (kind, end) = self.value(value, hit.node)?;
                if let Some(slot) = self.slots.get_mut(hit.slot as usize) {
                    *slot = token(value, end, kind);
                }
                at = self.space(end);
                match self.byte(at) {
                    b',' => at = self.space(at + 1),
                    b'}' => break,
                    _ => return Err(error(Problem::ExpectingComma, at)),
                }
            }
        }
        self.depth -= 1;
        Ok(at + 1)
    }

    /// The key at `at`: what it means, and where its value is.
    #[inline(always)]
    fn key(&mut self, at: usize, node: u8) -> Result<(Hit, usize), JsonError> {
        if node != NO_HIT.node
            && let Some((length, hit)) = self.habits.guess(node, self.bytes.get(at..).unwrap_or(&[]))
        {
            return Ok((hit, self.space(at + length)));
        }
        self.unexpected_key(at, node)
    }

    #[inline(never)]
    fn unexpected_key(&mut self, start: usize, node: u8) -> Result<(Hit, usize), JsonError> {
        if self.byte(start) != b'"' {
            return Err(error(Problem::ExpectingName, start));
        }
        let (kind, end) = self.string(start)?;
        let colon = self.space(end);
        if self.byte(colon) != b':' {
            return Err(error(Problem::ExpectingColon, colon));
        }
        let value = self.space(colon + 1);
        if node == NO_HIT.node {
            return Ok((NO_HIT, value));
        }
        let inner = self.bytes.get(start + 1..end - 1).unwrap_or(&[]);
        if kind != Kind::Plain {
            let mut decoded = Vec::new();
            super::decode_string(inner, &mut decoded);
            return Ok((self.schema.key(node, &decoded), value));
        }
        let hit = self.schema.key(node, inner);
        if colon == end {
            self.habits.learn(node, self.bytes.get(start..=colon).unwrap_or(&[]), hit);
        }
        Ok((hit, value))
    }

    #[inline(never)]
    fn array(&mut self, start: usize) -> Result<usize, JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(error(Problem::ArrayTooDeep, start));
        }
        self.depth += 1;
        let mut at = self.space(start + 1);
        if self.byte(at) != b']' {
            loop {
                let (_, end) = self.value(at, NO_HIT.node)?;
                at = self.space(end);
                match self.byte(at) {
                    b',' => at = self.space(at + 1),
                    b']' => break,
                    _ => return Err(error(Problem::ExpectingComma, at)),
                }
            }
        }
        self.depth -= 1;
        Ok(at + 1)
    }

    /// The first special byte from `at` on, or the end or beyond.
    #[inline(always)]
    fn special_from(&mut self, at: usize) -> usize {
        if self.block != at / BLOCK {
            self.look_at(at / BLOCK);
        }
        let ahead = self.mask >> (at % BLOCK);
        if ahead != 0 {
            return at + ahead.trailing_zeros() as usize;
        }
        loop {
            self.look_at(self.block + 1);
            if self.mask != 0 {
                return self.block * BLOCK + self.mask.trailing_zeros() as usize;
            }
        }
    }

    #[inline(always)]
    fn look_at(&mut self, block: usize) {
        self.block = block;
        let rest = self.bytes.get(block * BLOCK..).unwrap_or(&[]);
        self.mask = match rest.first_chunk() {
            Some(whole) => special(whole),
            None => last_block(rest),
        };
    }

    /// The string whose opening quote is at `start`.
    #[inline(always)]
    fn string(&mut self, start: usize) -> Result<(Kind, usize), JsonError> {
        let end = self.special_from(start + 1);
        if self.byte(end) == b'"' {
            return Ok((Kind::Plain, end + 1));
        }
        Ok((Kind::Escaped, self.rest_of_string(start, end)?))
    }

    /// The end of a string of which `at` is the first special byte, and no quote.
    #[inline(never)]
    fn rest_of_string(&mut self, start: usize, mut at: usize) -> Result<usize, JsonError> {
        loop {
            at = match self.bytes.get(at) {
                Some(b'"') => return Ok(at + 1),
                Some(b'\\') => self.escape(start, at)?,
                Some(0..=0x1f) => return Err(error(Problem::ControlCharacter, at)),
                Some(_) => at + 1,
                None => return Err(error(Problem::Unterminated, start)),
            };
            at = self.special_from(at);
        }
    }

    /// A backslash and what belongs to it. The bounds and positions are those of CPython's scanner, oddities included.
    fn escape(&self, string: usize, slash: usize) -> Result<usize, JsonError> {
        match self.bytes.get(slash + 1) {
            None => Err(error(Problem::Unterminated, string)),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(slash + 2),
            Some(b'u') => {
                let unit = self.hex4(slash)?;
                let next = slash + 6;
                let pair = (0xd800..0xdc00).contains(&unit)
                    && self.chars_left_exceed(next, 6)
                    && self.bytes.get(next..next + 2) == Some(b"\\u");
                let low = pair && (0xdc00..0xe000).contains(&self.hex4(next)?);
                Ok(if low { next + 6 } else { next })
            }
            Some(_) => Err(error(Problem::BadEscape, slash)),
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

    #[inline(always)]
    fn number(&self, start: usize) -> Result<(Kind, usize), JsonError> {
        let first = start + usize::from(self.byte(start) == b'-');
        let whole = match self.byte(first) {
            b'0' => first + 1,
            b'1'..=b'9' => self.digits(first),
            _ => return Err(error(Problem::ExpectingValue, start)),
        };
        if matches!(self.byte(whole), b'.' | b'e' | b'E') {
            let end = self.fraction(whole);
            if end > whole {
                return Ok((Kind::Float, end));
            }
        }
        if whole - first > 4300 {
            return Err(error(Problem::IntegerTooLong(whole - first), start));
        }
        Ok((Kind::Int, whole))
    }

    /// Where the fraction and the exponent after a whole number end; where they would begin, if there are none.
    #[inline(never)]
    fn fraction(&self, whole: usize) -> usize {
        let mut end = whole;
        if self.byte(end) == b'.' && self.byte(end + 1).is_ascii_digit() {
            end = self.digits(end + 1);
        }
        if matches!(self.byte(end), b'e' | b'E') {
            let digits = end + 1 + usize::from(matches!(self.byte(end + 1), b'+' | b'-'));
            if self.byte(digits).is_ascii_digit() {
                end = self.digits(digits);
            }
        }
        end
    }

    #[inline(always)]
    fn digits(&self, mut at: usize) -> usize {
        while self.byte(at).is_ascii_digit() {
            at += 1;
        }
        at
    }
}

/// The mask of what is left of a line. What is beyond its end is zero, and so special.
#[inline(never)]
fn last_block(rest: &[u8]) -> u64 {
    let mut last = [0; BLOCK];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    special(&last)
}
