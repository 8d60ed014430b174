//! The limits of a policy, made to hold for the units that it names.
//!
//! ```text
//!  apply      all of it, after a flip; and given back, at the end of enforcement
//!  watch      what follows where a limit is met
//!  usage      what of each limit is used, by the kernel's counters
//!  now        which windows are open, who is throttled, which disks there are
//!  throttle   who is throttled, and what is left to him
//!  files      descriptors of processes that run already
//!  leftover   what systemd leaves in the kernel of a setting that goes
//!  dropin     what systemd is told: one file a unit
//!  manager    asking systemd, and having it read its files again
//!  disks      the disks that file systems are on
//!  bound      which units have which limits, and which labels
//! ```
//!
//! What cgroups have is told to systemd, which would undo it otherwise; the rates of network traffic and the ceiling of
//! descriptors hold by the kernel programs. None of it needs the agent to go on.

pub mod apply;
pub mod bound;
pub mod disks;
pub mod dropin;
pub mod files;
pub mod leftover;
pub mod manager;
pub mod now;
pub mod throttle;
pub mod usage;
pub mod watch;
