//! What the service keeps, in words that any database can answer.
//!
//! A method of [`Store`] is one transaction: all of it is durable before its answer, or nothing of it is done. The service never
//! sees a connection, a row or a query. [`Sqlite`] is the first implementation.
//!
//! ```text
//! api ─► dyn Store ◄─ Sqlite: one writer thread that groups commits, one reader thread
//! hub ◄─ Change ────────┘        each says what it means by `rules`, which are the same for every store
//! ```
//! A second one over etcd has what it needs: methods take and give owned values and may be tried again from their start, as
//! compare-and-swap does; ids are texts and lists are read by rising numbers, as its revisions are; and [`Store::watch`] tells
//! what this process or another committed, in the order of the commits. `contract` tests what every store must do.

#[cfg(test)]
pub(crate) mod contract;
mod error;
mod model;
mod rules;
mod sqlite;

use std::fmt::Debug;
use std::pin::Pin;

use kiln_base::bundle::Envelope;
use kiln_base::model::Digest;
use kiln_base::wire::{
    AckRequest, AckView, AssignAnswer, ImageView, InstanceView, Page, RegisterImage, StateView, VersionView,
    ViolationView, ViolationsRequest,
};
use tokio_stream::Stream;

pub use error::{Fault, StoreError};
pub use model::{
    Change, Desired, Enrolled, Enrolment, Identity, InstanceId, NewToken, OperatorCertificate, PageRequest, Target,
};
pub use sqlite::{OpenError, Sqlite};

use crate::pki::Issued;
use crate::tables::Checked;

/// An answer to come. It borrows nothing, so that it may outlive the request that asked.
pub type Reply<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// What was committed since [`Store::watch`] was called, in the order of the commits.
pub type Changes = Pin<Box<dyn Stream<Item = Change> + Send>>;

/// What the service keeps. Times are milliseconds since 1970.
pub trait Store: Debug + Send + Sync {
    /// Whether it answers.
    fn ping(&self) -> Reply<()>;
    /// Tells what is committed from now on. What was committed before is asked for.
    fn watch(&self) -> Changes;

    // Who asks.

    /// Who bears the certificate with this SHA-256 of its DER: refused for an unknown or expired one, and a revoked instance's.
    fn identity(&self, fingerprint: Digest, now: i64) -> Reply<Identity>;
    /// Records an operator's certificate; the same again is not an error.
    fn record_operator(&self, certificate: OperatorCertificate) -> Reply<()>;

    // Images and their machines.

    /// Registers an image with its baked policy, and says whether it is new.
    fn register_image(&self, request: RegisterImage, now: i64) -> Reply<(ImageView, bool)>;
    /// One image.
    fn image(&self, image: Digest) -> Reply<ImageView>;
    /// Images in the order in which they came.
    fn images(&self, page: PageRequest) -> Reply<Page<ImageView>>;
    /// Keeps a join token; gives its number.
    fn issue_token(&self, token: NewToken) -> Reply<u64>;
    /// Enrols an instance, or answers the retry of one.
    fn enrol(&self, enrolment: Enrolment, now: i64) -> Reply<Enrolled>;
    /// Records a new certificate of an enrolled instance.
    fn renew(&self, instance: &InstanceId, issued: Issued, now: i64) -> Reply<()>;
    /// Revokes an instance for good; the first reason stands.
    fn revoke(&self, instance: String, reason: String, now: i64) -> Reply<InstanceView>;
    /// One instance. Whether it is connected is not the store's to know, here and in the lists.
    fn instance(&self, instance: String) -> Reply<InstanceView>;
    /// Instances in the order in which they enrolled.
    fn instances(&self, page: PageRequest) -> Reply<Page<InstanceView>>;
    /// Totals, and a page of instances.
    fn state(&self, page: PageRequest) -> Reply<StateView>;

    // Versions, and who shall enforce which.

    /// Keeps a tables file, and says whether it is new. One to which no statement comes may be removed after a day.
    fn put_tables(&self, digest: Digest, checked: Checked, bytes: Vec<u8>, now: i64) -> Reply<bool>;
    /// A tables file.
    fn tables(&self, digest: Digest) -> Reply<Vec<u8>>;
    /// Refuses a tables file that was neither assigned to the instance nor baked into its image.
    fn may_have(&self, instance: &InstanceId, digest: Digest) -> Reply<()>;
    /// Publishes a version of an image's policy, and says whether it is new.
    fn publish(&self, image: Digest, statement: Envelope, now: i64) -> Reply<(VersionView, bool)>;
    /// Versions in the order in which they came.
    fn versions(&self, page: PageRequest) -> Reply<Page<VersionView>>;
    /// Assigns a version of a policy. [`Change::Assigned`] tells it to the streams.
    fn assign(&self, target: Target, name: String, serial: u64, now: i64) -> Reply<AssignAnswer>;
    /// The newest assignment of an instance, if it is above a sequence.
    fn desired(&self, instance: &InstanceId, after: u64) -> Reply<Option<Desired>>;

    // What machines say.

    /// Records the boot of an instance that opened a stream.
    fn opened(&self, instance: &InstanceId, boot: String, now: i64) -> Reply<()>;
    /// Records when instances were last heard of.
    fn seen(&self, seen: Vec<(InstanceId, i64)>) -> Reply<()>;
    /// Checks and keeps an acknowledgement; gives its number. The same again gives the same number.
    fn acknowledge(&self, instance: &InstanceId, ack: AckRequest, now: i64) -> Reply<u64>;
    /// Acknowledgements, all or one instance's, oldest first.
    fn acks(&self, instance: Option<String>, page: PageRequest) -> Reply<Page<AckView>>;
    /// Keeps what is new of a batch; gives the highest sequence number that is kept of its boot. Of each instance about `keep`
    /// violations stay, the newest.
    fn record_violations(&self, instance: &InstanceId, batch: ViolationsRequest, keep: u64, now: i64) -> Reply<u64>;
    /// Violations, all or one instance's.
    fn violations(&self, instance: Option<String>, page: PageRequest) -> Reply<Page<ViolationView>>;
}
