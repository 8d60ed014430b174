//! From a verified policy to a proven generation, and back.
//!
//! ```text
//!  take     the one path of a newer policy, from files or from the POS
//!  switch   an update from its first phase to its last; phases has each as a type
//!  back     to the generation before
//!  tighten  a policy that the build did not sign, if it is a subset of the build's; and back to the build's
//!  tightened  what is recorded of that
//!  stay     confirm what is in force, prove it again
//!  windows  which windows are open over a time to come, told and prolonged
//!  limits   kept as they are to be: as windows open, units are throttled, disks are mounted
//!    label, flip, prove   the three things that all of these do to the kernel
//!    engine               what they work on, under the lock
//!  calls    filters of system calls, which the image's drop-ins have: a policy with others is refused
//!  release  a unit or process out of quarantine
//!  choice   at boot: the image's policy or the last good one
//!  records  what is known of the generations in the kernel, until reboot
//!  trusted  by what a policy is taken: the image's keys, the machine's name
//!  store    what survives a reboot: the last good policy, the highest numbers accepted
//! ```

pub mod audit;
pub mod back;
pub mod calls;
pub mod choice;
pub mod engine;
pub mod flip;
pub mod label;
pub mod limits;
pub mod phases;
pub mod prove;
pub mod records;
pub mod release;
pub mod stay;
pub mod store;
pub mod switch;
pub mod take;
pub mod tighten;
pub mod tightened;
pub mod trusted;
pub mod windows;
