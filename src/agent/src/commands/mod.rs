//! The commands of `kiln-agent`.
//!
//! ```text
//!  args     the command line
//!  dispatch what each command does, and its exit code
//!  load     at boot: the newest valid policy comes into force
//!  run      the service: events out, updates in
//!  control  the socket by which the other commands ask the running agent
//!  status   what the kernel enforces now
//! ```

pub mod args;
pub mod control;
mod dispatch;
pub mod load;
pub mod run;
pub mod status;

pub use dispatch::main;
