//! Loads, labels, flips, observes.
//!
//! `load` at early boot, `run` for events and updates; see `docs/agent.md`. What is enforced lives in the kernel, pinned
//! below `/sys/fs/bpf/kiln`, and does not depend on any process.
//!
//! ```text
//!  commands   the command line, the service and its socket, status
//!     |  \
//!     |  pos      the stream to the machine's POS: assignments in, acknowledgements and violations out
//!     |  /
//!  update     a verified policy becomes a generation, is flipped to and proven, or left again
//!     |
//!  report     events with the rule that decided them; the sentinel's refusal
//!     |
//!  limit      what units may use: told to systemd and the kernel programs
//!     |
//!  load       programs, maps and tables into the kernel
//!     |
//!  label      numbers for subjects; cgroups and processes that have them
//!     |
//!  config · bpf · machine · error · unknown
//!             settings and places; calls of bpf(2); files, processes, clocks; what can go wrong
//! ```
//!
//! Each uses what is below it, never what is above: `tests/cli/wings.rs` holds the order, and that no files use each
//! other in a circle.

pub mod bpf;
pub mod commands;
pub mod config;
pub mod error;
pub mod label;
pub mod limit;
pub mod load;
pub mod machine;
pub mod pos;
pub mod report;
pub mod unknown;
pub mod update;

pub use commands::main;
