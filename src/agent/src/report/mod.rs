//! What the agent tells: events with the rule that decided them, and the proof that a generation is enforced.

pub mod explain;
pub mod sentinel;
