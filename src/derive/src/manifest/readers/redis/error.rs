//! Why redis.conf cannot be read.

use crate::manifest::Origin;
use crate::manifest::root::RootError;

/// Why a configuration cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    /// A line that Redis refuses.
    #[error("{origin}: {why}")]
    Syntax {
        /// The line.
        origin: Origin,
        /// What is wrong, and the mend.
        why: &'static str,
    },
    /// Includes that lead to themselves, or beyond every bound.
    #[error("{origin}: {why}")]
    Include {
        /// The `include`.
        origin: Origin,
        /// What is wrong, and the mend.
        why: &'static str,
    },
    /// A file that cannot be read.
    #[error("{origin} names this file: {source}")]
    Root {
        /// What names the file.
        origin: Origin,
        /// Why not.
        source: RootError,
    },
}
