//! What the agent tells.
//!
//! ```text
//!  events    the buffers: each event explained, written as a line, kept for the POS
//!  explain   the rule that decided an event, by the tables of its generation
//!  throttles  who is throttled, and who is not any more
//!  responses who was put into quarantine, and who is out of it again
//!  sentinel  a harmless refusal that really happens, for the proof of a generation
//! ```

pub mod events;
pub mod explain;
pub mod responses;
pub mod sentinel;
pub mod throttles;
