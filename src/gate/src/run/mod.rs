//! Drives the engine: bytes from a source, lines to a sink, on one or more threads. The gate's only loop.

mod lines;
mod pipeline;
mod source;

pub use lines::MAX_LINE;
pub use pipeline::{Sink, run};
pub use source::{Buffer, Follow, Source};

use crate::engine::{Applied, Request};

/// What was seen and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    /// Non-blank lines.
    pub events_seen: u64,
    /// Lines written.
    pub events_emitted: u64,
    /// Lines that could not be judged.
    pub errors: u64,
    /// Plans with commands.
    pub enforcement_emitted: u64,
    /// Plans of which a backend carried out something.
    pub enforcement_applied: u64,
    /// Plans of which something failed.
    pub enforcement_failed: u64,
}

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Write only what is not allowed.
    pub alerts_only: bool,
    /// Threads that read and render.
    pub jobs: usize,
    /// Whether plans are made.
    pub plans: bool,
}

/// Carries out plans.
pub trait Enforcer: Send {
    /// Acts on one request.
    fn handle(&mut self, request: &Request) -> Applied;
}

/// Plans only: nothing is carried out.
#[derive(Debug)]
pub enum DryRun {}

impl Enforcer for DryRun {
    fn handle(&mut self, _: &Request) -> Applied {
        match *self {}
    }
}
