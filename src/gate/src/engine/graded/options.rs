//! What the profile is told.

use super::marks::Marks;
use super::weights::Weights;
use crate::engine::event::Source;
use crate::engine::profile::PlanOptions;

/// The shape of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The reference's field names, and more.
    Gate,
    /// OCSF Detection Finding.
    Ocsf,
}

/// What to read and print.
#[derive(Debug, Clone)]
pub struct Options {
    /// For events that name no host.
    pub host_default: String,
    /// The only source to take, if any.
    pub source: Option<Source>,
    /// Add the normalised event.
    pub include_kernel_event: bool,
    /// Indent by two.
    pub pretty: bool,
    /// What lines look like.
    pub shape: Shape,
    /// Add the enforcement plan.
    pub enforcement: Option<PlanOptions>,
}

/// The profile.
#[derive(Debug)]
pub struct Graded {
    /// What to read and print.
    pub options: Options,
    /// What evidence weighs.
    pub weights: Weights,
    /// What operators have found to be benign.
    pub marks: Marks,
}
