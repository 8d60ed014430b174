//! What the agent tells.
//!
//! ```text
//!  asker     the unit and program of an event's process
//!  acts      what was done with the policy, by whom, for the journal
//!  events    the buffers: each event explained, written as a line, kept for the POS
//!  explain   the rule that decided an event, by the tables of its generation
//!  permit    the rule that would permit what an event was refused for
//!  throttles  who is throttled, and who is not any more
//!  responses who was put into quarantine, and who is out of it again
//!  sentinel  a harmless refusal that really happens, for the proof of a generation
//! ```

pub mod acts;
pub mod asker;
pub mod events;
pub mod explain;
pub mod permit;
pub mod responses;
pub mod sentinel;
pub mod throttles;
