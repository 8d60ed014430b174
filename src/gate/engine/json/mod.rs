//! A strict JSON reader that keeps only what its caller asks for, in one pass and without allocation.
//!
//! It accepts exactly what CPython 3.11's `json.loads` accepts (RFC 8259 and `NaN`, `Infinity`, `-Infinity`) and words
//! its errors the same way, because the compatibility profile answers for both.

mod error;
mod scan;
mod text;
mod value;

pub use error::{JsonError, Problem};
pub use scan::{Hit, Kind, MAX_DEPTH, NO_HIT, Schema, Token, scan};
pub use text::{decode_string, is_plain, next_point, write_ascii_escaped, write_utf8_escaped};
pub use value::{Value, parse_token};
