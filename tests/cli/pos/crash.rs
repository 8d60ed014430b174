//! The service killed in the middle of its work: what it acknowledged is there afterwards.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kiln::wire::{
    AckAnswer, AckView, EnrolAnswer, EnrolRequest, InstanceView, Page, TokenAnswer, ViolationView, ViolationsAnswer,
};
use serde_json::json;

use super::fixture::{ack, batch, enrol, image, machine, token};
use super::service::Service;

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path());
    let web = image(&service, "web");
    let machines: Vec<_> = (0..6).map(|_| enrol(&service, &web)).collect();
    let mut seqs: BTreeMap<String, u64> = BTreeMap::new();
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    let mut enrolled: Vec<(EnrolRequest, Vec<u8>)> = Vec::new();
    let mut acks: Vec<u64> = Vec::new();
    for round in 0..5 {
        let tokens: Vec<String> = (0..100).map(|_| token(&service, &web)).collect();
        let stop = AtomicBool::new(false);
        let (done, new_acks, new_machines) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for machine in &machines {
                let agent = service.with(&machine.identity);
                let mut seq = seqs.get(&machine.id).copied().unwrap_or(0);
                let (stop, done, new_acks, baked) = (&stop, &done, &new_acks, &web.baked);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let next = seq + 1..=seq + 5;
                        seq += 5;
                        let body = serde_json::to_vec(&batch("boot-1", next)).unwrap();
                        let answer = agent.try_send("POST", "/v1/agent/violations", "application/json", &body);
                        // An error is the kill: nothing was promised. Whatever was answered was a success.
                        let stored = answer.ok().map(|a| a.json::<ViolationsAnswer>().stored);
                        if let Some(stored) = stored {
                            assert_eq!(stored, seq);
                        }
                        done.lock().unwrap().push((machine.id.clone(), seq, stored));
                        let mut ack = ack(baked, 0);
                        ack.evidence.as_mut().unwrap().sentinel.seq = seq;
                        let body = serde_json::to_vec(&ack).unwrap();
                        if let Ok(answer) = agent.try_send("POST", "/v1/agent/acks", "application/json", &body) {
                            new_acks.lock().unwrap().push(answer.json::<AckAnswer>().stored);
                        }
                    }
                });
            }
            let guest = service.guest();
            let (stop, new_machines) = (&stop, &new_machines);
            scope.spawn(move || {
                for token in tokens {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (_, request) = machine(&token);
                    let body = serde_json::to_vec(&request).unwrap();
                    if let Ok(answer) = guest.try_send("POST", "/v1/enrol", "application/json", &body) {
                        answer.json::<EnrolAnswer>();
                        new_machines.lock().unwrap().push((request, answer.body));
                    }
                }
            });
            thread::sleep(Duration::from_millis(400 + 150 * round));
            service.kill();
            stop.store(true, Ordering::Relaxed);
        });
        for (id, seq, stored) in done.into_inner().unwrap() {
            let highest = seqs.entry(id.clone()).or_default();
            *highest = seq.max(*highest);
            if let Some(stored) = stored {
                let promised = acknowledged.entry(id).or_default();
                *promised = stored.max(*promised);
            }
        }
        acks.extend(new_acks.into_inner().unwrap());
        enrolled.extend(new_machines.into_inner().unwrap());
        service = Service::start(dir.path());
    }
    assert!(acknowledged.values().sum::<u64>() > 50 && !enrolled.is_empty() && acks.len() > 10, "too little load");

    let operator = service.as_operator();
    for machine in &machines {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/violations?instance={}&limit=1000{after}", machine.id);
            let page: Page<ViolationView> = operator.get(&path).json();
            found.extend(page.items.iter().map(|v| v.violation.seq));
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let promised = acknowledged.get(&machine.id).copied().unwrap_or(0);
        assert!(found.windows(2).all(|w| w[0] < w[1]), "twice or out of order");
        // A batch is stored whole or not at all.
        assert_eq!(found.len() % 5, 0);
        assert!(found.contains(&promised), "{} lost {promised}", machine.id);
        let view: InstanceView = operator.get(&format!("/v1/instances/{}", machine.id)).json();
        assert_eq!(view.violations, found.len() as u64);
        assert!(view.in_step);
    }
    let (mut numbers, mut after) = (Vec::new(), String::new());
    loop {
        let page: Page<AckView> = operator.get(&format!("/v1/acks?limit=1000{after}")).json();
        numbers.extend(page.items.iter().map(|a| a.ack));
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    for ack in acks {
        assert!(numbers.contains(&ack), "ACK {ack} is lost");
    }
    for (request, body) in &enrolled {
        assert_eq!(service.guest().post("/v1/enrol", request).body, *body);
    }
}

#[test]
fn a_start_that_was_killed_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path());
    service.kill();
    // As if the first start had come only so far.
    for lost in ["operator/cert.pem", "pki/server.pem", "pos-ca.pem", "pos-assign.pub", "operator/ca.pem"] {
        std::fs::remove_file(dir.path().join(lost)).unwrap();
        let mut service = Service::start(dir.path());
        assert_eq!(service.as_operator().get("/v1/state").status, 200, "{lost}");
        assert!(service.terminate().success());
    }
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let path = format!("/v1/images/{}/tokens", web.digest);
    service.as_operator().post(&path, &json!({"ttl_seconds": 60})).json::<TokenAnswer>();
}
