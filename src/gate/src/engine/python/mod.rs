//! The few rules of CPython 3.11 that the compatibility profile's results depend on, on WTF-8 bytes.
//!
//! Source: the Python 3.11 language and library reference, and the Unicode character database, version 14.0.

mod number;
mod path;
mod repr;
mod tables;
mod unprintable;
mod words;

pub use number::{float_from_text, int_from_text, round4, write_float, write_int_literal, write_round4};
pub use path::{path_join, path_name, shell_quote};
pub use repr::{write_repr, write_repr_text, write_str};
pub use words::{fold_for_case_insensitive, is_space, leading_space, lower_in_place, strip};
