//! Why a store does not do what it is asked.

use kiln_base::bundle::{KeyError, StatementError, TrustError};
use kiln_base::model::Digest;

use crate::check::OutOfRange;
use crate::evidence::EvidenceError;
use crate::pki::PkiError;

/// A refusal, or a fault of the store. Nothing is changed after either.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An unknown image.
    #[error("image {0} is not registered; `kiln deploy` registers one")]
    NoImage(Digest),
    /// An unknown instance.
    #[error("no instance `{}`; GET /v1/instances lists them", shown(.0, 64))]
    NoInstance(String),
    /// A version that was not published.
    #[error("no version {serial} of `{name}`; publish it first (POST /v1/policies)")]
    NoVersion {
        /// The policy.
        name: String,
        /// The serial.
        serial: u64,
    },
    /// Unknown tables.
    #[error("no tables {0}")]
    NoTables(Digest),
    /// Tables of others.
    #[error("tables {0} were never assigned to this instance")]
    NotAssigned(Digest),

    /// A certificate that this POS did not record.
    #[error("the client certificate is not on record here")]
    UnknownCertificate,
    /// A certificate whose time is over.
    #[error("the client certificate has expired")]
    ExpiredCertificate,
    /// The instance of a certificate was revoked.
    #[error("this instance was revoked; enrol anew with a new join token")]
    Revoked,
    /// The instance that is to have an assignment was revoked.
    #[error("instance {0} is revoked")]
    RevokedInstance(String),
    /// The instance of a join token was revoked.
    #[error("the instance that used this token was revoked")]
    RevokedToken,
    /// An unknown join token.
    #[error("this POS issued no such token; `kiln deploy` issues one")]
    UnknownToken,
    /// Another machine used the join token.
    #[error("a token enrols one machine; if that was not yours, revoke it, and issue a new token")]
    UsedToken,
    /// A join token whose time is over.
    #[error("issue a new token by `kiln deploy`")]
    ExpiredToken,
    /// An instance has as many certificates as it may.
    #[error("{0} certificates of this instance are valid; one must expire first")]
    ManyCertificates(u64),
    /// A certificate cannot be made.
    #[error(transparent)]
    Certify(#[from] PkiError),

    /// An image with no policy key, or with too many.
    #[error("an image has 1 to {0} policy keys")]
    KeyCount(usize),
    /// A policy key that is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Policy keys that cannot be trusted together.
    #[error(transparent)]
    Keys(#[from] TrustError),
    /// A statement that none of the keys signed, or that is not understood.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// A statement without its tables.
    #[error("tables {0} are not there; upload them by PUT /v1/tables/{0} first")]
    NotUploaded(Digest),
    /// A statement for other tables than those that it names.
    #[error(
        "tables {tables} were compiled from policy {policy} as serial {serial}; \
         the statement says {stated_policy} and {stated_serial}"
    )]
    OtherTables {
        /// The tables.
        tables: Digest,
        /// What they were compiled from.
        policy: Digest,
        /// As which serial.
        serial: u64,
        /// What the statement says of the one.
        stated_policy: Digest,
        /// And of the other.
        stated_serial: u64,
    },
    /// An image that is registered with other content.
    #[error("image {0} is registered with another name, bundle, policy or keys; a changed image has another digest")]
    ImageDiffers(Digest),
    /// A statement for another policy than the image's.
    #[error("the statement is for `{stated}`, the image's policy is `{policy}`")]
    StatementForOther {
        /// The statement's.
        stated: String,
        /// The image's.
        policy: String,
    },
    /// An assignment of another policy than the image's.
    #[error("the image's policy is `{policy}`, not `{}`", shown(asked, 256))]
    WrongPolicy {
        /// The image's.
        policy: String,
        /// The request's.
        asked: String,
    },
    /// A serial that another version has.
    #[error("serial {serial} of `{name}` has tables {there}, these are {these}; sign with a higher serial")]
    SerialReused {
        /// The policy.
        name: String,
        /// The serial.
        serial: u64,
        /// The published tables.
        there: Digest,
        /// The statement's.
        these: Digest,
    },
    /// A serial below that of a published version.
    #[error("`{name}` is at serial {highest} already, {serial} is older; sign with {}", highest + 1)]
    OlderThanPublished {
        /// The policy.
        name: String,
        /// The highest that is published.
        highest: u64,
        /// The statement's.
        serial: u64,
    },
    /// A serial below that of the current assignment.
    #[error("serial {at} is assigned, {serial} is older; to go back, publish the old policy under a new serial")]
    OlderThanAssigned {
        /// The current one.
        at: u64,
        /// The request's.
        serial: u64,
    },

    /// An acknowledgement of what was never assigned.
    #[error("this instance was never given sequence {0}")]
    UnknownAssignment(u64),
    /// `enforced` without evidence.
    #[error("`enforced` needs `evidence`: what the kernel says is loaded")]
    NoEvidence,
    /// An acknowledgement of another serial than that of the assignment.
    #[error("sequence {sequence} has serial {assigned}, the ACK says {acknowledged}")]
    OtherSerial {
        /// The assignment.
        sequence: u64,
        /// Its serial.
        assigned: u64,
        /// The acknowledgement's.
        acknowledged: u64,
    },
    /// Evidence that does not show what it must.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// A number or a text that is not taken.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),

    /// The store itself fails.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A fault of the store: nobody who asks can mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The database's word.
    #[error("{0}")]
    Database(String),
    /// What shares a commit is lost with it.
    #[error("the database did not commit: {0}")]
    Commit(String),
    /// The store was closed, or its thread has ended.
    #[error("the database thread has ended")]
    Ended,
    /// A job panicked.
    #[error("a database job panicked")]
    Panicked,
    /// What was stored is not what this program stores.
    #[error("{what} in the database is not understood: {reason}")]
    Stored {
        /// Of what kind.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

/// So much of a caller's text as fits a message.
fn shown(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
