//! Why a policy cannot be evaluated.

use super::super::glob::GlobError;

/// A policy that cannot be evaluated, because it was not made by [`crate::policy::load`].
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A pattern is malformed.
    #[error("in `{origin}`: {source}; check the policy with `kiln check`")]
    Glob {
        /// Where it stands.
        origin: String,
        /// What is wrong with it.
        source: GlobError,
    },
    /// A window's zone does not exist.
    #[error(transparent)]
    Zone(#[from] kiln_base::window::UnknownZone),
}
