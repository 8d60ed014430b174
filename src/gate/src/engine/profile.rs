//! What a profile is to the rest of the gate.

use super::{Action, Arena, Span};

/// A line that could not be judged.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// Whether nothing is wrong with it: a source speaks of itself, not of a process.
    pub notice: bool,
    /// The message and the line's beginning, as one JSON object.
    pub report: Span,
}

/// How events are judged.
pub trait Profile: Sync {
    /// A thread's working space.
    type Reader: Send;
    /// One judged event.
    type Item: Send;
    /// What is remembered from event to event.
    type Memory: Send;

    /// A new working space.
    fn reader(&self) -> Self::Reader;

    /// Judges one stripped, non-empty line for itself.
    ///
    /// # Errors
    /// The line is not an event; the report says why.
    fn read(&self, reader: &mut Self::Reader, line: &str, arena: &mut Arena) -> Result<Self::Item, Failed>;

    /// Takes the event into the memory. `now` is the wall clock, nanoseconds since 1970.
    fn settle(&self, item: &mut Self::Item, arena: &Arena, memory: &mut Self::Memory, now: i64);

    /// The settled event's action.
    fn action(&self, item: &Self::Item) -> Action;

    /// Whether the settled event's plan is not suppressed by the cooldown.
    fn acts(&self, item: &Self::Item) -> bool;

    /// Appends the settled event's line, without the newline.
    fn render(&self, item: &Self::Item, arena: &Arena, out: &mut Vec<u8>);

    /// What the backends need to know to act on the event.
    fn request(&self, item: &Self::Item, arena: &Arena) -> Request;

    /// Keeps what the backends have done, for [`Profile::render`].
    fn applied(&self, item: &mut Self::Item, applied: Applied);
}

/// One enforcement action, in the reference's terms and with what identifies the process beyond doubt.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Request {
    /// The process's key in the memory.
    pub process_key: String,
    /// What to do.
    pub kernel_action: Action,
    /// The host the event came from.
    pub host: String,
    /// Process id; 0 if the event names none.
    pub pid: u32,
    /// Start of the process in nanoseconds after boot, if the event names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_ns: Option<u64>,
    /// The process's name.
    pub process_name: String,
    /// The operation.
    pub operation: String,
    /// The target.
    pub target: String,
    /// Why.
    pub rationale: String,
    /// Where evidence goes.
    pub quarantine_dir: String,
    /// Decision, cell state, suspicion and the three flags.
    pub metadata: Metadata,
}

/// How the enforcement plan is made.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// Where evidence goes.
    pub quarantine_dir: String,
    /// Seconds within which a process's next plan is suppressed; a profile can let a harsher one through.
    pub cooldown: f64,
    /// Names of the backends, as they appear in the plan.
    pub backends: Vec<String>,
    /// Whether plans are carried out.
    pub apply: bool,
}

/// The verdict within a [`Request`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Metadata {
    /// The decision.
    pub decision: super::Decision,
    /// The cell state.
    pub cell_state: super::State,
    /// Suspicion, rounded.
    pub suspicion: f64,
    /// Whether the process is not to go on.
    pub block_execution: bool,
    /// Whether it is cut off.
    pub isolate_process: bool,
    /// Whether its target is put aside.
    pub quarantine_target: bool,
}

/// What became of a plan that was carried out.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Whether a backend did something.
    pub applied: bool,
    /// What failed.
    pub failures: Vec<String>,
    /// What was done.
    pub details: Vec<String>,
}
