//! A strict JSON reader that keeps only what its caller asks for, in one pass and without allocation.
//!
//! It accepts exactly what CPython 3.11's `json.loads` accepts (RFC 8259 and `NaN`, `Infinity`, `-Infinity`) and words
//! its errors the same way, because the compatibility profile answers for both.

mod error;
mod habits;
mod hit;
mod mask;
mod scan;
mod text;
mod value;

pub use error::{JsonError, Problem};
pub use habits::Habits;
pub use hit::{Hit, NO_HIT};
pub use mask::is_plain;
pub use scan::{Kind, MAX_DEPTH, Schema, Token, scan};
pub use text::{decode_string, next_point, write_ascii_escaped, write_utf8_escaped, write_utf8_inner};
pub use value::{Value, parse_token};
