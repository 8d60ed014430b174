//! Globs to one minimal deterministic automaton with byte classes.
