//! The library of abstractions that comes with the language.

use super::source::Source;

/// The text of a `std/…` import, by its full name with version.
pub fn standard(name: &str) -> Option<Source> {
    match name {
        "std/base@1" => Some(Source::new(name, include_str!("std/base.pdl"))),
        _ => None,
    }
}
