//! The agent's side of `docs/pos-protocol.md`: enrolment, the stream of assignments, acknowledgements, violations.
//!
//! Runs in threads of its own. What touches the kernel is asked of the main thread, so there is one order of things.

mod backoff;
pub mod client;
pub mod failure;
pub mod identity;
pub mod link;
mod report;
mod session;
pub mod spool;

pub use link::{Ask, Inbox};
pub use session::start;
