//! The Policy Definition Language: text, lossless tree, ast, formatter, diagnostics.
