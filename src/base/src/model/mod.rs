//! The words that all parts share: verbs, outcomes, references, addresses, digests. No I/O.

mod because;
mod calls;
mod digest;
mod net;
mod outcome;
mod pattern;
mod resource;
mod suggest;
mod unit;
mod verb;
mod window;
pub(crate) mod word;

pub use because::{Because, RefKind};
pub use calls::{CallAction, CallFilter};
pub use digest::{Digest, ParseDigestError};
pub use net::{Cidr, ParseCidrError, PortRange, Proto, mapped};
pub use outcome::{Action, BlockKind, EventMode, Mode, Outcome, Severity, Verdict};
pub use pattern::{literal_of_pattern, pattern_in_quotes, quote_pattern, template_of_pattern};
pub use resource::{Resource, limit_text};
pub use suggest::closest;
pub use unit::{cgroup_name, unit_of_cgroup};
pub use verb::{Class, KernelOp, ParseVerbError, Verb, VerbSet, capability_name, capability_names, capability_number};
pub use window::{Span, Window};
#[cfg(feature = "openapi")]
pub use word::word_schema;
pub use word::{Vocabulary, Word};
