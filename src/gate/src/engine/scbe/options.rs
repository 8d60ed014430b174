//! What the profile is told.

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
    pub enforcement: Option<Enforcement>,
}

/// How the plan is made.
#[derive(Debug, Clone)]
pub struct Enforcement {
    /// Where evidence goes.
    pub quarantine_dir: String,
    /// Seconds within which a process's next plan is suppressed.
    pub cooldown: f64,
    /// Names of the backends, as they appear in the plan.
    pub backends: Vec<String>,
    /// Whether plans are carried out.
    pub apply: bool,
}
