//! The normal form to tables, and what the target kernel cannot enforce.
