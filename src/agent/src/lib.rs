//! Loads, labels, flips, observes.
//!
//! `load` at early boot, `run` for events and updates; see `docs/agent.md`. What is enforced lives in the kernel, pinned
//! below `/sys/fs/bpf/kiln`, and does not depend on any process.

mod anchor;
mod args;
mod attach;
pub mod bpf;
pub mod choice;
mod commands;
pub mod config;
mod control;
pub mod engine;
pub mod error;
mod files;
mod generation;
mod helpers;
pub mod hooks;
mod journal;
pub mod known;
pub mod load;
mod lock;
pub mod maps;
mod need;
mod own;
pub mod pos;
mod process;
mod procfs;
mod records;
mod ring;
pub mod run;
mod seed;
mod sentinel;
pub mod sink;
pub mod slots;
pub mod status;
pub mod store;
mod tracers;
mod tree;
pub mod unknown;
pub mod update;

pub use commands::main;
