//! Digests, keys, signatures and their verification.
//!
//! What is signed is a small JSON statement in a DSSE envelope, by Ed25519 (RFC 8032). Two roles exist and no key may have
//! both: policy keys say what may be enforced at all, assignment keys say which of that an instance shall enforce now.
//! See `ARCHITECTURE.md`, "Statements and keys".

mod aside;
mod dsse;
mod keys;
mod statement;
mod trust;

pub use aside::{AsideError, open_file, write_aside};
pub use dsse::{Envelope, EnvelopeError, EnvelopeSignature, MAX_ENVELOPE, pae};
pub use keys::{KeyError, PublicKey, SigningKey};
pub use statement::{ASSIGNMENT_TYPE, Assignment, POLICY_TYPE, PolicyStatement, StatementError};
pub use trust::{TrustError, TrustedKeys};
