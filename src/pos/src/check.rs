//! What a number or a text of a request must be, wherever it is stored.

/// A value that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutOfRange {
    /// JSON readers take larger numbers for others.
    #[error("`{name}` is {value}; it must stay below 2^53")]
    Number {
        /// The field.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// Empty, too long, or with control characters.
    #[error("`{name}` must have 1 to {max} bytes and no control characters")]
    Text {
        /// The field.
        name: &'static str,
        /// Most bytes.
        max: usize,
    },
}

/// A number that every JSON reader understands.
///
/// # Errors
/// For 2^53 and more.
pub fn number(name: &'static str, value: u64) -> Result<u64, OutOfRange> {
    if value < 1 << 53 { Ok(value) } else { Err(OutOfRange::Number { name, value }) }
}

/// A text for people: 1 to `max` bytes without control characters.
///
/// # Errors
/// For any other.
pub fn text(name: &'static str, text: &str, max: usize) -> Result<(), OutOfRange> {
    if text.is_empty() || text.len() > max || text.chars().any(char::is_control) {
        return Err(OutOfRange::Text { name, max });
    }
    Ok(())
}
