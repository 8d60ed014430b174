//! The commands of `kiln-agent`.
//!
//! ```text
//!  args     the command line
//!  dispatch what each command does, and its exit code
//!  load     at boot: the newest valid policy comes into force
//!  run      the service: events out, updates in
//!  control  the socket by which the other commands ask the running agent
//!  handle   what they and the POS ask, carried out and told in the journal
//!  status   what the kernel enforces now
//!  show, ps what binds a unit, and which processes are bound
//!  explain  what an event means, and which rule would permit it
//!  completions  for shells
//! ```

pub mod args;
mod completions;
pub mod control;
mod dispatch;
pub mod explain;
pub mod handle;
pub mod load;
pub mod ps;
pub mod run;
pub mod show;
pub mod status;

pub use dispatch::main;
