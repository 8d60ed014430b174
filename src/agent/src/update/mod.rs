//! From a verified policy to a proven generation, and back.
//!
//! ```text
//!  store    what survives a reboot: the last good policy, the highest numbers accepted
//!  choice   at boot: the image's policy or the last good one
//!  records  what is known of the generations in the kernel, until reboot
//!  engine   everything at work under the lock
//!  take     the one path of a newer policy, from files or from the POS
//! ```

pub mod choice;
pub mod engine;
pub mod records;
pub mod store;
pub mod take;
