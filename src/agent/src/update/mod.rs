//! From a verified policy to a proven generation, and back.
//!
//! ```text
//!  take     the one path of a newer policy, from files or from the POS
//!  switch   an update from its first phase to its last; phases has each as a type
//!  back     to the generation before
//!  stay     confirm what is in force, prove it again
//!  windows  which windows are open over a time to come, told and prolonged
//!    label, flip, prove   the three things that all of these do to the kernel
//!    engine               what they work on, under the lock
//!  calls    filters of system calls, which the image's drop-ins have: a policy with others is refused
//!  release  a unit or process out of quarantine
//!  choice   at boot: the image's policy or the last good one
//!  records  what is known of the generations in the kernel, until reboot
//!  trusted  by what a policy is taken: the image's keys, the machine's name
//!  store    what survives a reboot: the last good policy, the highest numbers accepted
//! ```

pub mod back;
pub mod calls;
pub mod choice;
pub mod engine;
pub mod flip;
pub mod label;
pub mod phases;
pub mod prove;
pub mod records;
pub mod release;
pub mod stay;
pub mod store;
pub mod switch;
pub mod take;
pub mod trusted;
pub mod windows;
