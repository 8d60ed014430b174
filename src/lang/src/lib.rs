//! The policy definition language (PDL), from text to tables.
//!
//! ```text
//! pdl        text -> lossless tree -> ast (and back)
//! policy     ast -> resolved, checked normal form; evaluator
//! automata   patterns and addresses -> minimal automata
//! compile    normal form -> tables (one automaton, decisions, rules), and what a kernel cannot enforce
//! seccomp    a filter of system calls, as a program of the kernel's and as an OCI profile
//! findings   what the compiler refuses, as diagnostics at its place
//! ```

pub mod automata;
pub mod compile;
pub mod findings;
pub mod pdl;
pub mod policy;
pub mod seccomp;
