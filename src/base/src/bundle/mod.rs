//! Digests, keys, signatures and their verification.
//!
//! What is signed is a small JSON statement in a DSSE envelope, by Ed25519 (RFC 8032). Three roles exist and no key may have
//! two: policy keys say what may be enforced at all, assignment keys say which of that an instance shall enforce now, tighten
//! keys say what may stand in for it for a time, if it is a subset.
//! See `ARCHITECTURE.md`, "Statements and keys".

mod aside;
mod dsse;
mod keys;
mod statement;
mod trust;

pub use aside::{AsideError, open_file, write_aside};
pub use dsse::{Envelope, EnvelopeError, EnvelopeSignature, MAX_ENVELOPE, pae};
pub use keys::{KeyError, PublicKey, SigningKey};
pub use statement::{
    ASSIGNMENT_TYPE, Assignment, MOST_SERIAL, MOST_TIGHTENINGS, POLICY_TYPE, PolicyStatement, StatementError,
    TIGHTENING_TYPE, Tightening,
};
pub use trust::{TrustError, TrustedKeys};
