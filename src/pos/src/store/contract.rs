//! What every store must do, tried on each that there is. Another store is one more line of [`each`].

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_base::bundle::{PolicyStatement, PublicKey, SigningKey};
use kiln_base::event::{Evidence, Link, Program, Sentinel, Violation};
use kiln_base::model::Digest;
use kiln_base::wire::{AckOutcome, AckRequest, Code, Facts, RegisterImage, ViolationsRequest};
use proptest::prelude::*;
use tokio_stream::StreamExt;

use super::*;
use crate::problem::Problem;

/// Runs a test on an empty store of each kind.
pub fn each<T: Future<Output = ()>>(test: impl Fn(Arc<dyn Store>) -> T) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let key = Arc::new(SigningKey::generate().unwrap());
    let (sqlite, threads) = Sqlite::open_unsynced(&dir.path().join("pos.db"), key).unwrap();
    runtime.block_on(test(Arc::new(sqlite)));
    threads.join();
}

const IMAGE: &[u8] = b"image";
const ALL: PageRequest = PageRequest { after: 0, before: None, limit: 1000 };

fn checked(serial: u64) -> Checked {
    Checked { kernel_part: Digest::of(b"kernel part"), policy: Digest::of(b"policy"), serial }
}

fn tables(serial: u64) -> Digest {
    Digest::of(&serial.to_le_bytes())
}

fn statement(serial: u64, key: &SigningKey) -> Envelope {
    let policy = Digest::of(b"policy");
    PolicyStatement { policy, tables: tables(serial), serial, name: "web".into() }.sign(key)
}

fn image(key: &PublicKey, statement: Envelope) -> RegisterImage {
    let policy_keys = vec![key.to_pem()];
    RegisterImage { image: Digest::of(IMAGE), name: "web".into(), bundle: None, statement, policy_keys }
}

fn enrolment(token: &[u8], id: &str, key: &[u8]) -> Enrolment {
    let mut facts = serde_json::json!({ "boot_id": "b0", "kernel": "6.1.0" });
    let facts: Facts = serde_json::from_value(facts.take()).unwrap();
    let fingerprint = Digest::of(id.as_bytes());
    let certify = move |id: &str| Ok(Issued { pem: format!("certificate of {id}"), fingerprint, expires: 1_000 });
    let (token_hash, id) = (Digest::of(token), InstanceId::from(id.to_owned()));
    Enrolment { token_hash, key: key.to_vec(), facts, id, certify: Box::new(certify) }
}

fn token(secret: &[u8]) -> NewToken {
    NewToken { image: Digest::of(IMAGE), hash: Digest::of(secret), created: 0, expires: 100 }
}

/// Registers the image with version 1.
pub async fn registered(store: &dyn Store) -> SigningKey {
    let key = SigningKey::generate().unwrap();
    store.put_tables(tables(1), checked(1), vec![1], 0).await.unwrap();
    let (_, new) = store.register_image(image(&key.public(), statement(1, &key)), 0).await.unwrap();
    assert!(new);
    key
}

/// Enrols one instance.
pub async fn enrolled(store: &dyn Store, name: &str) -> InstanceId {
    store.issue_token(token(name.as_bytes())).await.unwrap();
    let done = store.enrol(enrolment(name.as_bytes(), name, name.as_bytes()), 1).await.unwrap();
    assert!(done.new);
    done.instance
}

async fn publish(store: &dyn Store, key: &SigningKey, serial: u64) {
    store.put_tables(tables(serial), checked(serial), vec![2], 0).await.unwrap();
    let (view, new) = store.publish(Digest::of(IMAGE), statement(serial, key), 0).await.unwrap();
    assert_eq!((view.serial, new), (serial, true));
}

/// Publishes a version and assigns it to the image.
pub async fn assigned(store: &dyn Store, key: &SigningKey, serial: u64) {
    publish(store, key, serial).await;
    store.assign(Target::Image(Digest::of(IMAGE)), "web".into(), serial, 0).await.unwrap();
}

fn enforced(sequence: u64, serial: u64) -> AckRequest {
    let evidence = Evidence {
        tables: tables(serial),
        readback: Digest::of(b"kernel part"),
        serial,
        programs: vec![Program { name: "kiln_file_open".into(), id: 41, tag: "a04f5eef06a7f555".into() }],
        links: vec![Link { id: 12, program: 41 }],
        sentinel: Sentinel { pid: 812, time_ns: 7, seq: 1 },
        kernel: "6.1.0".into(),
        boot_id: "b0".into(),
    };
    AckRequest { sequence, serial, outcome: AckOutcome::Enforced, evidence: Some(evidence), reason: None }
}

fn violation(seq: u64) -> Violation {
    let json = serde_json::json!({
        "schema": "kiln.violation.v1", "time": "", "seq": seq, "verdict": "denied", "profile": "", "block_kind": "",
        "rule": "", "verb": "", "object": "", "mode": "", "severity": "", "action": "", "pid": 1, "tid": 1, "ppid": 1,
        "uid": 0, "comm": "", "start_time_ns": 0, "cgroup_id": 0, "generation": 1, "subject": ""
    });
    serde_json::from_value(json).unwrap()
}

fn code<T: Debug>(result: Result<T, StoreError>) -> Code {
    Problem::from(result.unwrap_err()).code
}

#[test]
fn a_machine_from_its_image_to_its_revocation() {
    each(|store| async move {
        let mut changes = store.watch();
        let key = registered(&*store).await;
        let first = enrolled(&*store, "i-1").await;
        let (again, new) = store.register_image(image(&key.public(), statement(1, &key)), 5).await.unwrap();
        assert_eq!((again.instances, new), (1, false));
        assert_eq!(store.identity(Digest::of(b"i-1"), 2).await.unwrap(), Identity::Instance(first.clone()));

        publish(&*store, &key, 2).await;
        let answer = store.assign(Target::Image(Digest::of(IMAGE)), "web".into(), 2, 0).await.unwrap();
        assert_eq!((answer.assigned.len(), answer.unchanged.len()), (1, 0));
        let Some(Change::Assigned(told)) = changes.next().await else { panic!("an assignment was not told") };
        let desired = store.desired(&first, 0).await.unwrap().unwrap();
        assert_eq!((told.len(), &*told[0]), (1, &desired));
        assert_eq!(store.desired(&first, desired.sequence).await.unwrap(), None);
        store.may_have(&first, tables(2)).await.unwrap();

        let second = enrolled(&*store, "i-2").await;
        let standing = store.desired(&second, 0).await.unwrap();
        assert_eq!(
            standing.map(|d| d.sequence),
            Some(1),
            "what an image was assigned holds for those that enrol later"
        );
        let answer = store.assign(Target::Image(Digest::of(IMAGE)), "web".into(), 2, 0).await.unwrap();
        assert_eq!((answer.assigned.len(), answer.unchanged.len()), (0, 2));

        store.opened(&first, "b0".into(), 7).await.unwrap();
        let number = store.acknowledge(&first, enforced(1, 2), 8).await.unwrap();
        assert_eq!(store.acknowledge(&first, enforced(1, 2), 9).await.unwrap(), number, "the same again is the same");
        assert!(store.instance("i-1".into()).await.unwrap().in_step);
        let state = store.state(ALL).await.unwrap();
        assert_eq!((state.images, state.versions, state.instances, state.out_of_step), (1, 2, 2, 1));

        store.revoke("i-1".into(), "stolen".into(), 10).await.unwrap();
        // Nothing was assigned anew since, so this is what comes next.
        let Some(Change::Revoked(told)) = changes.next().await else { panic!("a revocation was not told") };
        assert_eq!(told, first);
        assert_eq!(code(store.identity(Digest::of(b"i-1"), 11).await), Code::Revoked);
        publish(&*store, &key, 3).await;
        let answer = store.assign(Target::Image(Digest::of(IMAGE)), "web".into(), 3, 0).await.unwrap();
        assert_eq!(answer.assigned.iter().map(|a| a.instance.as_str()).collect::<Vec<_>>(), ["i-2"]);
    });
}

/// A client that goes away does not undo what it asked for, and its machines hear of it all the same.
#[test]
fn what_is_committed_is_told_though_nobody_waits_for_the_answer() {
    each(|store| async move {
        let key = registered(&*store).await;
        let first = enrolled(&*store, "i-1").await;
        publish(&*store, &key, 2).await;
        let mut changes = store.watch();
        let asked = store.assign(Target::Instance("i-1".into()), "web".into(), 2, 0);
        // Polled once, which sends it off, and dropped.
        let _ = tokio::time::timeout(std::time::Duration::ZERO, asked).await;
        let Some(Change::Assigned(told)) = changes.next().await else { panic!("an assignment was not told") };
        assert_eq!(told[0].instance, first);
        assert_eq!(store.desired(&first, 0).await.unwrap().as_ref(), Some(&*told[0]));
    });
}

#[test]
fn a_token_enrols_one_machine() {
    each(|store| async move {
        registered(&*store).await;
        store.issue_token(token(b"t")).await.unwrap();
        assert_eq!(code(store.enrol(enrolment(b"other", "i-1", b"k"), 1).await), Code::TokenUnknown);
        assert_eq!(code(store.enrol(enrolment(b"t", "i-1", b"k"), 101).await), Code::TokenExpired);
        let done = store.enrol(enrolment(b"t", "i-1", b"k"), 1).await.unwrap();
        let again = store.enrol(enrolment(b"t", "i-2", b"k"), 101).await.unwrap();
        assert_eq!(again, Enrolled { new: false, ..done });
        assert_eq!(code(store.enrol(enrolment(b"t", "i-3", b"other"), 1).await), Code::TokenUsed);
        store.revoke("i-1".into(), "stolen".into(), 2).await.unwrap();
        assert_eq!(code(store.enrol(enrolment(b"t", "i-4", b"k"), 3).await), Code::Revoked);
        assert_eq!(store.instances(ALL).await.unwrap().items.len(), 1);
    });
}

#[test]
fn what_is_refused_changes_nothing() {
    each(|store| async move {
        let key = registered(&*store).await;
        let first = enrolled(&*store, "i-1").await;
        publish(&*store, &key, 3).await;
        let before = store.state(ALL).await.unwrap();
        let (there, other) = (Digest::of(IMAGE), SigningKey::generate().unwrap());
        assert_eq!(code(store.image(Digest::of(b"x")).await), Code::NotFound);
        assert_eq!(code(store.publish(there, statement(4, &other), 0).await), Code::BadSignature);
        assert_eq!(code(store.publish(there, statement(4, &key), 0).await), Code::NoTables);
        assert_eq!(code(store.publish(there, statement(2, &key), 0).await), Code::SerialNotNewer);
        let differs = RegisterImage { name: "other".into(), ..image(&key.public(), statement(1, &key)) };
        assert_eq!(code(store.register_image(differs, 0).await), Code::ImageDiffers);
        let one = || Target::Instance("i-1".into());
        assert_eq!(code(store.assign(one(), "other".into(), 3, 0).await), Code::WrongName);
        assert_eq!(code(store.assign(one(), "web".into(), 4, 0).await), Code::NotFound);
        assert_eq!(code(store.assign(one(), "web".into(), 0, 0).await), Code::SerialNotNewer);
        assert_eq!(code(store.assign(one(), "web".into(), 1 << 53, 0).await), Code::OutOfRange);
        assert_eq!(code(store.may_have(&first, tables(3)).await), Code::NotFound);
        assert_eq!(code(store.acknowledge(&first, enforced(1, 3), 0).await), Code::UnknownAssignment);
        assert_eq!(code(store.acknowledge(&first, enforced(0, 3), 0).await), Code::EvidenceTables);
        let without = AckRequest { evidence: None, ..enforced(0, 1) };
        assert_eq!(code(store.acknowledge(&first, without, 0).await), Code::NoEvidence);
        assert_eq!(code(store.identity(Digest::of(b"x"), 0).await), Code::NoCertificate);
        assert_eq!(code(store.identity(Digest::of(b"i-1"), 1_001).await), Code::NoCertificate);
        let batch = [violation(1), violation(1 << 53)].to_vec();
        let batch = ViolationsRequest { boot_id: "b0".into(), dropped: 0, violations: batch };
        assert_eq!(code(store.record_violations(&first, batch, 10, 0).await), Code::OutOfRange);
        assert_eq!(store.state(ALL).await.unwrap(), before);
        assert!(store.violations(None, ALL).await.unwrap().items.is_empty());
    });
}

#[test]
fn lists_are_read_in_pages_both_ways() {
    each(|store| async move {
        registered(&*store).await;
        let first = enrolled(&*store, "i-1").await;
        let violations = (1..=5).map(violation).collect();
        let batch = ViolationsRequest { boot_id: "b0".into(), dropped: 2, violations };
        assert_eq!(store.record_violations(&first, batch, 10, 0).await.unwrap(), 5);
        let mut page = PageRequest { limit: 2, ..ALL };
        let mut found = Vec::new();
        loop {
            let part = store.violations(Some("i-1".into()), page).await.unwrap();
            found.extend(part.items.iter().map(|v| v.violation.seq));
            let Some(next) = part.next else { break };
            page.after = next.parse().unwrap();
        }
        assert_eq!(found, [1, 2, 3, 4, 5]);
        let newest = PageRequest { before: Some(i64::MAX), limit: 2, ..ALL };
        let part = store.violations(None, newest).await.unwrap();
        assert_eq!(part.items.iter().map(|v| v.violation.seq).collect::<Vec<_>>(), [5, 4]);
        assert!(part.next.is_some());
        assert_eq!(code(store.violations(Some("i-2".into()), newest).await), Code::NotFound);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// An agent that sends each batch again until it hears an answer, and then what is above it: everything arrives once, in
    /// order, whatever answers are lost.
    #[test]
    fn at_least_once_becomes_once(
        events in proptest::collection::vec((0usize..3, 1u64..4), 1..60),
        lost in proptest::collection::vec(any::<bool>(), 1..200),
        size in 1usize..9
    ) {
        let mut queues: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for (boot, gap) in events {
            let queue = queues.entry(boot).or_default();
            queue.push(queue.last().copied().unwrap_or(0) + gap);
        }
        let (queues, lost) = (&queues, &lost);
        each(|store| async move {
            registered(&*store).await;
            let instance = enrolled(&*store, "i-1").await;
            let mut lost = lost.iter();
            for (boot, queue) in queues {
                let mut left = queue.clone();
                while !left.is_empty() {
                    let violations = left.iter().take(size).map(|seq| violation(*seq)).collect();
                    let batch = ViolationsRequest { boot_id: format!("b{boot}"), dropped: 0, violations };
                    let stored = store.record_violations(&instance, batch, 1_000, 0).await.unwrap();
                    if !lost.next().unwrap_or(&false) {
                        left.retain(|seq| *seq > stored);
                    }
                }
            }
            let listed = store.violations(None, ALL).await.unwrap().items;
            for (boot, queue) in queues {
                let of_boot = listed.iter().filter(|v| v.boot_id == format!("b{boot}"));
                assert_eq!(&of_boot.map(|v| v.violation.seq).collect::<Vec<_>>(), queue);
            }
            let total = store.state(ALL).await.unwrap().violations;
            assert_eq!(total as usize, queues.values().map(Vec::len).sum::<usize>());
        });
    }
}
