//! SQLite: one writer thread, one reader thread, write-ahead log, every commit on disk before its answer.

mod acks;
mod assignments;
mod error;
mod identities;
mod images;
mod instances;
mod lists;
mod migrate;
mod open;
mod rows;
mod sql;
mod tables;
mod tokens;
mod versions;
mod violations;
mod worker;

use std::sync::Arc;

use kiln_base::bundle::{Envelope, SigningKey};
use kiln_base::model::Digest;
use kiln_base::wire::{
    AckRequest, AckView, AssignAnswer, ImageView, InstanceView, Page, RegisterImage, StateView, VersionView,
    ViolationView, ViolationsRequest,
};
use tokio::sync::broadcast;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

use super::{
    Change, Changes, Desired, Enrolled, Enrolment, Identity, InstanceId, NewToken, OperatorCertificate, PageRequest,
    Reply, Store, Target,
};
use crate::pki::Issued;
use crate::tables::Checked;
use worker::Worker;

pub use error::OpenError;

/// The store in one file.
pub struct Sqlite {
    /// Runs writes in order.
    write: Worker,
    /// Runs reads; sees all that was committed before.
    read: Worker,
    /// Signs assignments.
    key: Arc<SigningKey>,
    /// Tells what was committed. One process has the file, so nobody else commits.
    changes: broadcast::Sender<Change>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").finish_non_exhaustive()
    }
}

impl Store for Sqlite {
    fn ping(&self) -> Reply<()> {
        self.read.run(|conn| Ok(conn.query_row("SELECT 1", [], |_| Ok(()))?))
    }
    fn watch(&self) -> Changes {
        // The only error is that the watcher was too slow.
        Box::pin(BroadcastStream::new(self.changes.subscribe()).map(|change| change.unwrap_or(Change::Missed)))
    }

    fn identity(&self, fingerprint: Digest, now: i64) -> Reply<Identity> {
        self.read.run(move |conn| identities::identity_of(conn, fingerprint, now))
    }
    fn record_operator(&self, certificate: OperatorCertificate) -> Reply<()> {
        self.write.run(move |conn| identities::record_operator(conn, &certificate))
    }

    fn register_image(&self, request: RegisterImage, now: i64) -> Reply<(ImageView, bool)> {
        self.write.run(move |conn| images::register_image(conn, &request, now))
    }
    fn image(&self, image: Digest) -> Reply<ImageView> {
        self.read.run(move |conn| images::image_view(conn, image))
    }
    fn images(&self, page: PageRequest) -> Reply<Page<ImageView>> {
        self.read.run(move |conn| images::list_images(conn, page))
    }
    fn issue_token(&self, token: NewToken) -> Reply<u64> {
        self.write.run(move |conn| tokens::issue_token(conn, &token))
    }
    fn enrol(&self, enrolment: Enrolment, now: i64) -> Reply<Enrolled> {
        let key = self.key.clone();
        self.write.run(move |conn| instances::enrol(conn, enrolment, &key, now))
    }
    fn renew(&self, instance: &InstanceId, issued: Issued, now: i64) -> Reply<()> {
        let instance = instance.clone();
        self.write.run(move |conn| instances::renew(conn, &instance, &issued, now))
    }
    fn revoke(&self, instance: String, reason: String, now: i64) -> Reply<InstanceView> {
        let changes = self.changes.clone();
        self.write.run_then(
            move |conn| instances::revoke(conn, &instance, &reason, now),
            move |view| {
                // Without a watcher nobody has to be told.
                let _ = changes.send(Change::Revoked(view.instance.clone().into()));
                view
            },
        )
    }
    fn instance(&self, instance: String) -> Reply<InstanceView> {
        self.read.run(move |conn| instances::instance_view(conn, &instance))
    }
    fn instances(&self, page: PageRequest) -> Reply<Page<InstanceView>> {
        self.read.run(move |conn| lists::list_instances(conn, page))
    }
    fn state(&self, page: PageRequest) -> Reply<StateView> {
        self.read.run(move |conn| lists::state(conn, page))
    }

    fn put_tables(&self, digest: Digest, checked: Checked, bytes: Vec<u8>, now: i64) -> Reply<bool> {
        self.write.run(move |conn| tables::put_tables(conn, digest, &checked, &bytes, now))
    }
    fn tables(&self, digest: Digest) -> Reply<Vec<u8>> {
        self.read.run(move |conn| tables::read_tables(conn, digest))
    }
    fn may_have(&self, instance: &InstanceId, digest: Digest) -> Reply<()> {
        let instance = instance.clone();
        self.read.run(move |conn| tables::may_have(conn, &instance, digest))
    }
    fn publish(&self, image: Digest, statement: Envelope, now: i64) -> Reply<(VersionView, bool)> {
        self.write.run(move |conn| versions::publish(conn, image, &statement, now))
    }
    fn versions(&self, page: PageRequest) -> Reply<Page<VersionView>> {
        self.read.run(move |conn| versions::list_versions(conn, page))
    }
    fn assign(&self, target: Target, name: String, serial: u64, now: i64) -> Reply<AssignAnswer> {
        let (key, changes) = (self.key.clone(), self.changes.clone());
        self.write.run_then(
            move |conn| assignments::assign(conn, &target, &name, serial, &key, now),
            move |(answer, new)| {
                if !new.is_empty() {
                    let _ = changes.send(Change::Assigned(new.into()));
                }
                answer
            },
        )
    }
    fn desired(&self, instance: &InstanceId, after: u64) -> Reply<Option<Desired>> {
        let instance = instance.clone();
        self.read.run(move |conn| assignments::newest_assignment(conn, &instance, after))
    }

    fn opened(&self, instance: &InstanceId, boot: String, now: i64) -> Reply<()> {
        let instance = instance.clone();
        self.write.run(move |conn| instances::opened(conn, &instance, &boot, now))
    }
    fn seen(&self, seen: Vec<(InstanceId, i64)>) -> Reply<()> {
        self.write.run(move |conn| instances::seen(conn, &seen))
    }
    fn acknowledge(&self, instance: &InstanceId, ack: AckRequest, now: i64) -> Reply<u64> {
        let instance = instance.clone();
        self.write.run(move |conn| acks::acknowledge(conn, &instance, &ack, now))
    }
    fn acks(&self, instance: Option<String>, page: PageRequest) -> Reply<Page<AckView>> {
        self.read.run(move |conn| lists::list_acks(conn, instance.as_deref(), page))
    }
    fn record_violations(&self, instance: &InstanceId, batch: ViolationsRequest, keep: u64, now: i64) -> Reply<u64> {
        let instance = instance.clone();
        self.write.run(move |conn| violations::record_violations(conn, &instance, &batch, keep, now))
    }
    fn violations(&self, instance: Option<String>, page: PageRequest) -> Reply<Page<ViolationView>> {
        self.read.run(move |conn| lists::list_violations(conn, instance.as_deref(), page))
    }
}
