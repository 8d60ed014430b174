//! Loads, labels, flips, observes.
//!
//! `load` at early boot, `run` for events and updates; see `docs/agent.md`. What is enforced lives in the kernel, pinned
//! below `/sys/fs/bpf/kiln`, and does not depend on any process.
//!
//! ```text
//!                      commands     load, run, update, status, …: one at a time
//!                     /       \
//!        POS  <---  pos        |    the machine's stream to its POS, in threads of its own
//!                     \       |
//!                       update      verified policy -> generation -> flip -> proof, and back
//!                      /   |   \
//!     events  <---  report |    |   explains events, proves what is enforced
//!                      \   |    |
//!                        load   |   programs, maps and tables into the kernel
//!                          \   |
//!                          label    numbers for subjects, on cgroups and processes
//!                            |
//!     kernel  <---  bpf, config, machine, error
//! ```
//!
//! Each uses what is below it, never what is above: `tests/cli/style.rs` holds the order, and that no files use each
//! other in a circle.

pub mod bpf;
pub mod commands;
pub mod config;
pub mod error;
pub mod label;
pub mod load;
pub mod machine;
pub mod pos;
pub mod report;
pub mod unknown;
pub mod update;

pub use commands::main;
