//! The long-lived stream.

use std::time::Instant;

use kiln::bundle::{Assignment, Envelope, PolicyStatement, PublicKey, TrustedKeys};
use kiln::wire::{AssignmentLine, StateView, StreamMessage};
use serde_json::json;

use super::fixture::{enrol, image, roll_out};
use super::service::Service;

#[test]
fn an_assignment_is_pushed_signed_by_both_keys() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let machine = enrol(&service, &web);
    let agent = service.with(&machine.identity);
    let mut stream = agent.stream("boot-1", 0);
    let hello = stream.message().unwrap();
    assert_eq!((&hello["type"], &hello["instance"]), (&json!("hello"), &json!(machine.id)));
    let (two, _) = roll_out(&service, &web, 2);
    let message: StreamMessage = serde_json::from_value(stream.message().unwrap()).unwrap();
    let StreamMessage::Assignment(line) = message else { panic!("{message:?}") };
    let AssignmentLine { sequence, serial, tables, bytes, assignment, statement } = *line;
    assert_eq!((sequence, serial, tables, bytes), (1, 2, two.statement.tables, two.bytes.len() as u64));
    // Verified as an image does that has these keys baked.
    let pos_key = std::fs::read_to_string(dir.path().join("pos-assign.pub")).unwrap();
    let trusted = TrustedKeys::new(vec![web.key.public()], vec![PublicKey::from_pem(&pos_key).unwrap()]).unwrap();
    let statement = PolicyStatement::verify(&statement, &trusted).unwrap();
    assert_eq!(statement, two.statement);
    Assignment::verify(&assignment, &trusted).unwrap().agrees(&statement, &machine.id).unwrap();
    // The POS's key signs no policies, and the policy key no assignments.
    let swapped = TrustedKeys::new(trusted.assignment().to_vec(), trusted.policy().to_vec()).unwrap();
    assert!(Assignment::verify(&assignment, &swapped).is_err());
}

#[test]
fn a_stream_that_comes_back_gets_what_it_missed_and_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path());
    let web = image(&service, "web");
    let machine = enrol(&service, &web);
    drop(service.with(&machine.identity).stream("boot-1", 0));
    roll_out(&service, &web, 2);
    roll_out(&service, &web, 3);
    let mut stream = service.with(&machine.identity).stream("boot-1", 0);
    stream.message();
    assert_eq!(stream.message().unwrap()["sequence"], 2, "only the newest");
    // The service ends in order: the agent is told.
    let ended = std::thread::spawn(move || (stream.message(), stream.message()));
    assert!(service.terminate().success());
    let (close, end) = ended.join().unwrap();
    let close = close.unwrap();
    assert_eq!((&close["type"], &close["reason"]), (&json!("close"), &json!("shutdown")));
    assert!(close["retry_after_ms"].as_u64().unwrap() > 0 && end.is_none());

    let service = Service::start_with(dir.path(), &["--heartbeat", "1"]);
    let mut stream = service.with(&machine.identity).stream("boot-1", 2);
    assert_eq!(stream.next().unwrap()["heartbeat_seconds"], 1);
    // Nothing that it has; and the silence is filled.
    assert_eq!(stream.next().unwrap()["type"], "heartbeat");
    roll_out(&service, &web, 4);
    assert_eq!(stream.message().unwrap()["sequence"], 3);
}

#[test]
fn a_newer_stream_of_an_instance_ends_the_older() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let agent = service.with(&enrol(&service, &web).identity);
    let mut first = agent.stream("boot-1", 0);
    first.message();
    let mut second = agent.stream("boot-1", 0);
    second.message();
    assert_eq!(first.message().unwrap()["reason"], "superseded");
    assert_eq!(first.message(), None);
    roll_out(&service, &web, 2);
    assert_eq!(second.message().unwrap()["sequence"], 1);
    for bad in ["", "?boot_id=", "?boot_id=a%20b", "?boot_id=b&after=x", "?boot_id=b&more=1"] {
        let (status, _) = agent.get(&format!("/v1/agent/stream{bad}")).refusal();
        assert!(status == 400 || status == 422, "{bad}");
    }
}

#[test]
fn two_hundred_streams_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let machines: Vec<_> = (0..200).map(|_| enrol(&service, &web)).collect();
    let streams: Vec<_> = std::thread::scope(|scope| {
        let opening: Vec<_> = machines
            .chunks(25)
            .map(|some| {
                let service = &service;
                scope.spawn(move || {
                    let open = |machine: &super::fixture::Machine| {
                        let mut stream = service.with(&machine.identity).stream("boot-1", 0);
                        assert_eq!(stream.message().unwrap()["instance"], machine.id);
                        stream
                    };
                    some.iter().map(open).collect::<Vec<_>>()
                })
            })
            .collect();
        opening.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let state: StateView = service.as_operator().get("/v1/state").json();
    assert_eq!((state.connected, state.out_of_step), (200, 200));
    assert!(state.items.iter().all(|i| i.connected));
    let (_, answer) = roll_out(&service, &web, 2);
    assert_eq!(answer.assigned.len(), 200);
    let started = Instant::now();
    for (mut stream, machine) in streams.into_iter().zip(&machines) {
        let message = stream.message().unwrap();
        let envelope: Envelope = serde_json::from_value(message["assignment"].clone()).unwrap();
        let key = std::fs::read_to_string(dir.path().join("pos-assign.pub")).unwrap();
        let trusted = TrustedKeys::new(Vec::new(), vec![PublicKey::from_pem(&key).unwrap()]).unwrap();
        assert_eq!(Assignment::verify(&envelope, &trusted).unwrap().instance, machine.id);
    }
    eprintln!("200 assignments read in {:?}", started.elapsed());
}
