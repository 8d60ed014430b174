//! The messages between agent, POS and operator, as `docs/pos-protocol.md` defines them. Types only; no I/O.

mod agent;
mod operator;
mod problem;
#[cfg(test)]
mod tests;

pub use agent::{
    AckAnswer, AckOutcome, AckRequest, AssignmentLine, CloseReason, EnrolAnswer, EnrolRequest, Facts, JOIN_SCHEMA,
    JoinCredential, RenewAnswer, RenewRequest, StreamMessage, ViolationsAnswer, ViolationsRequest,
};
pub use operator::{
    AckView, AssignAnswer, AssignRequest, Assigned, Enforced, ImageView, InstanceView, NewAssignment, Page,
    PublishRequest, Refused, RegisterImage, RevokeRequest, StateView, TablesAnswer, TokenAnswer, TokenRequest,
    VersionView, ViolationView,
};
pub use problem::{Code, ProblemBody};

/// Media type of a tables file.
pub const TABLES_MEDIA_TYPE: &str = "application/vnd.kiln.tables";
/// Longest JSON body, in bytes.
pub const MAX_JSON: usize = 1 << 20;
/// Deepest JSON body.
pub const MAX_DEPTH: usize = 32;
/// Longest tables file, in bytes.
pub const MAX_TABLES: usize = 16 << 20;
/// Most violations in one batch.
pub const MAX_BATCH: usize = 1_000;
/// Seconds without a line after which the POS sends a heartbeat.
pub const HEARTBEAT_SECONDS: u64 = 15;
/// Longest line of a stream, in bytes.
pub const MAX_LINE: usize = 64 << 10;
