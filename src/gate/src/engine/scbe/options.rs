//! What the profile is told.

use crate::engine::profile::PlanOptions;

/// What to print, as the reference's options of the same names.
#[derive(Debug, Clone)]
pub struct Options {
    /// For events that name no host.
    pub host_default: String,
    /// Add the normalised event.
    pub include_kernel_event: bool,
    /// Indent by two.
    pub pretty: bool,
    /// Add the enforcement plan.
    pub enforcement: Option<PlanOptions>,
}
