//! What is wrong with a line.

/// The kind of a syntax error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// No value where one has to stand.
    ExpectingValue,
    /// An object's key is not a string.
    ExpectingName,
    /// No colon after a key.
    ExpectingColon,
    /// Neither a comma nor the end of an array or object.
    ExpectingComma,
    /// Text after the value.
    ExtraData,
    /// A string without its closing quote.
    Unterminated,
    /// A control character within a string.
    ControlCharacter,
    /// A backslash before a character that means nothing.
    BadEscape,
    /// `\u` without four hexadecimal digits.
    BadUnicodeEscape,
    /// A byte order mark at the start.
    ByteOrderMark,
    /// Arrays deeper than [`super::MAX_DEPTH`].
    ArrayTooDeep,
    /// Objects deeper than [`super::MAX_DEPTH`].
    ObjectTooDeep,
    /// An integer of more than 4300 digits, which CPython refuses to convert; how many it has.
    IntegerTooLong(usize),
}

/// A syntax error and the byte where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub problem: Problem,
    /// Byte offset into the line.
    pub at: usize,
}

impl JsonError {
    /// The message, positions in characters as CPython counts them. `line` is the text that was read.
    pub fn message(&self, line: &str) -> String {
        let what = match self.problem {
            Problem::ExpectingValue => "Expecting value",
            Problem::ExpectingName => "Expecting property name enclosed in double quotes",
            Problem::ExpectingColon => "Expecting ':' delimiter",
            Problem::ExpectingComma => "Expecting ',' delimiter",
            Problem::ExtraData => "Extra data",
            Problem::Unterminated => "Unterminated string starting at",
            Problem::ControlCharacter => "Invalid control character at",
            Problem::BadEscape => "Invalid \\escape",
            Problem::BadUnicodeEscape => "Invalid \\uXXXX escape",
            Problem::ByteOrderMark => "Unexpected UTF-8 BOM (decode using utf-8-sig)",
            Problem::ArrayTooDeep => {
                return "maximum recursion depth exceeded while decoding a JSON array from a unicode string".to_owned();
            }
            Problem::ObjectTooDeep => {
                return "maximum recursion depth exceeded while decoding a JSON object from a unicode string"
                    .to_owned();
            }
            Problem::IntegerTooLong(digits) => {
                return format!(
                    "Exceeds the limit (4300 digits) for integer string conversion: value has {digits} digits; use \
                     sys.set_int_max_str_digits() to increase the limit"
                );
            }
        };
        // A position is never within a character: each error is found at an ASCII byte or at a character's start.
        let before = &line.as_bytes()[..self.at.min(line.len())];
        let chars = before.iter().filter(|b| (**b as i8) >= -0x40).count();
        let lines = before.iter().filter(|b| **b == b'\n').count();
        let column = match memchr::memrchr(b'\n', before) {
            Some(newline) => before[newline + 1..].iter().filter(|b| (**b as i8) >= -0x40).count() + 1,
            None => chars + 1,
        };
        format!("{what}: line {} column {column} (char {chars})", lines + 1)
    }
}
