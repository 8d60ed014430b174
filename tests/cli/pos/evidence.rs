//! ACKs and violations.

use kiln::model::Digest;
use kiln::wire::{
    AckAnswer, AckOutcome, AckRequest, AckView, InstanceView, Page, StateView, ViolationView, ViolationsAnswer,
};
use serde_json::{Value, json};

use super::fixture::{ack, batch, enrol, image, roll_out, violation};
use super::service::Service;

/// A machine enforces the part of the tables that is for its host name.
#[test]
fn evidence_of_any_kind_of_host_fits() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let fleet = image(&service, "fleet");
    let tables = kiln::abi::Tables::read(&fleet.baked.bytes).unwrap();
    let parts: Vec<Digest> = tables.all().map(|one| Digest::of(&one.kernel.to_bytes())).collect();
    assert!(parts.len() == 2 && parts[0] != parts[1]);
    for part in parts {
        let machine = enrol(&service, &fleet);
        let agent = service.with(&machine.identity);
        let mut good = serde_json::to_value(ack(&fleet.baked, 0)).unwrap();
        good["evidence"]["readback"] = json!(Digest::of(b"x"));
        assert_eq!(agent.post("/v1/agent/acks", &good).refusal().1, "evidence-readback");
        good["evidence"]["readback"] = json!(part);
        agent.post("/v1/agent/acks", &good).json::<AckAnswer>();
    }
}

#[test]
fn only_an_ack_with_fitting_evidence_puts_an_instance_in_step() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let machine = enrol(&service, &web);
    let agent = service.with(&machine.identity);
    let see = || service.as_operator().get(&format!("/v1/instances/{}", machine.id)).json::<InstanceView>();
    assert!(!see().in_step);
    // What is baked is acknowledged as sequence 0.
    let first: AckAnswer = agent.post("/v1/agent/acks", &ack(&web.baked, 0)).json();
    assert!(see().in_step);
    let again: AckAnswer = agent.post("/v1/agent/acks", &ack(&web.baked, 0)).json();
    assert_eq!(first, again);

    let (two, _) = roll_out(&service, &web, 2);
    let view = see();
    assert_eq!((view.in_step, view.assigned.serial, view.enforced.as_ref().unwrap().serial), (false, 2, 1));
    let good = serde_json::to_value(ack(&two, 1)).unwrap();
    type Change = fn(&mut Value);
    let cases: &[(Change, u16, &str)] = &[
        (|a| drop(a.as_object_mut().unwrap().remove("evidence")), 422, "no-evidence"),
        (|a| a["evidence"] = Value::Null, 422, "no-evidence"),
        (|a| a["evidence"]["programs"] = json!("all"), 422, "no-evidence"),
        (|a| a["evidence"]["more"] = json!(1), 422, "no-evidence"),
        (|a| a["evidence"]["tables"] = json!(Digest::of(b"x")), 422, "evidence-tables"),
        (|a| a["evidence"]["serial"] = json!(1), 422, "evidence-tables"),
        (|a| a["serial"] = json!(1), 422, "evidence-tables"),
        (|a| a["evidence"]["readback"] = json!(Digest::of(b"x")), 422, "evidence-readback"),
        (|a| a["evidence"]["programs"] = json!([]), 422, "evidence-programs"),
        (|a| a["evidence"]["links"] = json!([{"id": 1, "program": 99}]), 422, "evidence-programs"),
        (|a| drop(a["evidence"].as_object_mut().unwrap().remove("sentinel")), 422, "evidence-sentinel"),
        (|a| a["evidence"]["sentinel"]["pid"] = json!(0), 422, "evidence-sentinel"),
        (|a| a["sequence"] = json!(2), 404, "unknown-assignment"),
        (|a| a["sequence"] = json!(u64::MAX), 422, "out-of-range"),
        (|a| a["sequence"] = json!(-1), 400, "bad-json"),
        (|a| a["outcome"] = json!("done"), 400, "bad-json"),
        (|a| a["extra"] = json!(1), 400, "bad-json"),
    ];
    for (n, (change, status, code)) in cases.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(agent.post("/v1/agent/acks", &bad).refusal(), (*status, (*code).to_owned()), "case {n}");
    }
    // The evidence of the version before does not do for the new one.
    let old = AckRequest { sequence: 1, ..ack(&web.baked, 1) };
    assert_eq!(agent.post("/v1/agent/acks", &old).refusal().1, "evidence-tables");
    assert!(!see().in_step);
    let state: StateView = service.as_operator().get("/v1/state").json();
    assert_eq!((state.instances, state.out_of_step), (1, 1));

    let number: AckAnswer = agent.post("/v1/agent/acks", &good).json();
    let view = see();
    assert!(view.in_step);
    assert_eq!(view.enforced.unwrap().ack, number.stored);
    let list: Page<AckView> = service.as_operator().get(&format!("/v1/acks?instance={}", machine.id)).json();
    assert_eq!(list.items.len(), 2, "refused ACKs are not kept");
    assert_eq!(list.items[1].evidence, ack(&two, 1).evidence);
    // A replay of the older one changes nothing; a new boot needs new evidence.
    let mut replay = ack(&web.baked, 0);
    replay.evidence.as_mut().unwrap().sentinel.seq = 99;
    agent.post("/v1/agent/acks", &replay).json::<AckAnswer>();
    assert!(see().in_step);
    let _stream = agent.stream("boot-2", 1).message();
    assert!(!see().in_step);
    let mut new_boot = ack(&two, 1);
    new_boot.evidence.as_mut().unwrap().boot_id = "boot-2".into();
    agent.post("/v1/agent/acks", &new_boot).json::<AckAnswer>();
    assert!(see().in_step);
}

#[test]
fn a_refusal_is_kept_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let machine = enrol(&service, &web);
    let agent = service.with(&machine.identity);
    roll_out(&service, &web, 2);
    let refused = |reason: Option<&str>| AckRequest {
        sequence: 1,
        serial: 2,
        outcome: AckOutcome::Refused,
        evidence: None,
        reason: reason.map(Into::into),
    };
    for bad in [None, Some(""), Some("x".repeat(1025).as_str())] {
        assert_eq!(agent.post("/v1/agent/acks", &refused(bad)).refusal().1, "out-of-range");
    }
    agent.post("/v1/agent/acks", &refused(Some("the signature\ndoes not\x1bverify"))).json::<AckAnswer>();
    let view: InstanceView = service.as_operator().get(&format!("/v1/instances/{}", machine.id)).json();
    assert_eq!(
        view.refused.unwrap().reason,
        "the signature does not verify",
        "in one line, and without control characters"
    );
    assert!(!view.in_step);
}

#[test]
fn violations_are_stored_once_and_the_newest_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start_with(dir.path(), &["--keep-violations", "100"]);
    let web = image(&service, "web");
    let machine = enrol(&service, &web);
    let agent = service.with(&machine.identity);
    let send = |request: &_| agent.post("/v1/agent/violations", request);
    assert_eq!(send(&batch("boot-1", 1..=3)).json::<ViolationsAnswer>().stored, 3);
    // Once more, with some that are new and a gap.
    assert_eq!(send(&batch("boot-1", [2, 3, 4, 9])).json::<ViolationsAnswer>().stored, 9);
    assert_eq!(send(&batch("boot-1", [])).json::<ViolationsAnswer>().stored, 9);
    // Each boot counts anew.
    let mut second = batch("boot-2", [1]);
    second.dropped = 5;
    assert_eq!(send(&second).json::<ViolationsAnswer>().stored, 1);
    assert_eq!(send(&second).json::<ViolationsAnswer>().stored, 1);
    let list: Page<ViolationView> = service.as_operator().get("/v1/violations").json();
    let seqs: Vec<_> = list.items.iter().map(|v| (v.boot_id.as_str(), v.violation.seq)).collect();
    assert_eq!(seqs, [("boot-1", 1), ("boot-1", 2), ("boot-1", 3), ("boot-1", 4), ("boot-1", 9), ("boot-2", 1)]);
    assert_eq!(list.items[4].violation, violation(9));
    let view: InstanceView = service.as_operator().get(&format!("/v1/instances/{}", machine.id)).json();
    assert_eq!((view.violations, view.dropped), (6, 5));

    for (bad, code) in [
        (batch("boot-1", [11, 10]), "out-of-range"),
        (batch("boot-1", [11, 11]), "out-of-range"),
        (batch("boot-1", [0]), "out-of-range"),
        (batch("boot-1", [u64::MAX]), "out-of-range"),
        (batch("", [11]), "out-of-range"),
        (batch("a b", [11]), "out-of-range"),
        (batch("boot-1", 1..=1001), "too-many"),
    ] {
        assert_eq!(send(&bad).refusal(), (422, code.into()));
    }
    assert_eq!(send(&batch("boot-1", 10..=1009)).json::<ViolationsAnswer>().stored, 1009);
    let list: Page<ViolationView> = service.as_operator().get("/v1/violations?limit=1000").json();
    assert_eq!((list.items.len(), list.items.last().unwrap().violation.seq), (100, 1009));
    let view: InstanceView = service.as_operator().get(&format!("/v1/instances/{}", machine.id)).json();
    assert_eq!(view.violations, 1006, "what was removed is still counted");
}
