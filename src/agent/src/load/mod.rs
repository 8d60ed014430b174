//! What is brought into the kernel: programs, maps, and a generation's tables.
//!
//! ```text
//!  known        does this build know all that the kernel has?
//!  hooks, need  which programs does a policy need?
//!  attach       load, pin, attach, detach, exchange them
//!  maps         the pinned maps by their names
//!  generation   fill, freeze, read back a generation's map
//!  clock        where the kernel's wall clock is, told to the programs
//!  own, helpers what confined tasks must not touch or call, told to the programs
//!  servers      whose answers teach the addresses of names, told to the programs
//!  keep         something holds the pins that outlives the agent
//! ```
//!
//! Nothing here decides when: `update` does.

pub mod attach;
pub mod clock;
pub mod generation;
pub mod helpers;
pub mod hooks;
pub mod keep;
pub mod known;
pub mod maps;
pub mod need;
pub mod own;
pub mod servers;
