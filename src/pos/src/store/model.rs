//! The words between the service and its store.

use std::fmt;
use std::sync::Arc;

use kiln_base::model::Digest;
use kiln_base::wire::{Facts, StreamMessage};

use crate::pki::{Issued, PkiError};

/// The id of an instance, `i-…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for InstanceId {
    fn from(text: String) -> InstanceId {
        InstanceId(text.into())
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bearer of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A person or pipeline.
    Operator(String),
    /// A machine.
    Instance(InstanceId),
}

/// An operator's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorCertificate {
    /// Whose.
    pub name: String,
    /// SHA-256 of the DER.
    pub fingerprint: Digest,
    /// Milliseconds since 1970.
    pub issued: i64,
    /// Milliseconds since 1970.
    pub expires: i64,
}

/// A join token, of which only the hash is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewToken {
    /// For machines of this image.
    pub image: Digest,
    /// SHA-256 of the token.
    pub hash: Digest,
    /// Milliseconds since 1970.
    pub created: i64,
    /// Milliseconds since 1970.
    pub expires: i64,
}

/// What an instance's certificate is made by, once its id is known. A store calls it at most once.
pub type Certify = Box<dyn FnOnce(&str) -> Result<Issued, PkiError> + Send>;

/// A checked enrolment.
pub struct Enrolment {
    /// SHA-256 of the token.
    pub token_hash: Digest,
    /// SPKI DER of the instance's key.
    pub key: Vec<u8>,
    /// What the machine says.
    pub facts: Facts,
    /// The id it gets if it is new.
    pub id: InstanceId,
    /// Makes its certificate if it is new.
    pub certify: Certify,
}

/// Who enrolled, and with which certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// `i-…`.
    pub instance: InstanceId,
    /// The token's image.
    pub image: Digest,
    /// PEM; the same bytes at each retry.
    pub certificate: String,
    /// Not a retry.
    pub new: bool,
}

/// To whom a version is assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// All of an image, and those to come.
    Image(Digest),
    /// One instance.
    Instance(String),
}

/// What an instance shall enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The instance.
    pub instance: InstanceId,
    /// Rises with each assignment of the instance.
    pub sequence: u64,
    /// The line for its stream.
    pub message: StreamMessage,
}

/// What was committed, by this process or another of the same store.
#[derive(Debug, Clone)]
pub enum Change {
    /// Instances have a new assignment.
    Assigned(Arc<[Arc<Desired>]>),
    /// An instance was revoked.
    Revoked(InstanceId),
    /// The watcher was too slow, and some changes are not told: it must ask for what it needs.
    Missed,
}

/// Which part of a list is asked for. Each list has its numbers, which rise in the order in which its things came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Things above this number.
    pub after: i64,
    /// In place of `after`: newest first, those below this number.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}
