//! The Policy Definition Language as text: lexer, lossless tree, parser with recovery, typed tree, canonical
//! formatter and diagnostics. Meaning is given by `policy`; `docs/pdl.md` is the reference. No I/O.

pub mod ast;
mod code;
mod diagnostic;
mod format;
#[cfg(test)]
mod laws;
mod lexer;
mod parser;
mod quantity;
mod source;
mod standard;
mod syntax;

pub use code::Code;
pub use diagnostic::{Diagnostic, Diagnostics, FileId, Level, Record, RelatedRecord};
pub use format::format;
pub use kiln_base::model::closest;
pub use parser::{Parse, parse};
pub use quantity::{Quantity, QuantityError, parse_quantity, parse_time};
pub use source::{LoadError, Loader, MAX_FILE, NoFiles, Source};
pub use standard::standard;
pub use syntax::{Pdl, SyntaxElement, SyntaxKind, SyntaxNode, SyntaxToken};
