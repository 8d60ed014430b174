//! The agent's own client against the service: enrolment, assignment, evidence, confirmation, violations. The kernel's
//! answers are the fixture's; what the agent does in a kernel is in tests/kernel.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kiln::agent::config::{Config, Places};
use kiln::agent::pos::{Ask, Inbox, start};
use kiln::wire::{AckView, Page, ViolationView};

use super::fixture::{self, Image, Version, image, roll_out, token, violation};
use super::service::Service;

/// A machine's folders, baked for a service.
fn machine(root: &Path, data: &Path, image: &Image) -> Places {
    let places =
        Places { lib: root.join("lib"), state: root.join("state"), run: root.join("run"), ..Places::default() };
    fs::create_dir_all(places.trust()).unwrap();
    fs::create_dir_all(&places.state).unwrap();
    fs::write(places.trust().join("policy.pub"), image.key.public().to_pem()).unwrap();
    for name in ["pos-assign.pub", "pos-ca.pem"] {
        fs::copy(data.join(name), places.trust().join(name)).unwrap();
    }
    places
}

/// Answers the client's questions as a kernel would that enforces `version`, until one satisfies `until`.
fn serve(inbox: &Inbox, version: &mut Version, sequence: &mut u64, until: impl Fn(&Ask) -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while Instant::now() < limit {
        let Some((ask, reply)) = inbox.next() else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        if let Ask::Apply(policy) = &ask {
            *version = fixture::version(&policy.statement.name, policy.statement.serial);
            assert_eq!(policy.file, version.bytes, "the tables are fetched and verified before anything is asked");
            *sequence = policy.sequence;
        }
        let evidence = fixture::ack(version, *sequence).evidence.unwrap();
        let answer = if matches!(ask, Ask::Confirm(_)) { None } else { Some((evidence, *sequence)) };
        reply.send(Ok(answer)).unwrap();
        if until(&ask) {
            return;
        }
    }
    panic!("the client did not ask in time");
}

fn wait<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        match what() {
            Some(value) => return value,
            None if Instant::now() > limit => panic!("it did not happen in time"),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

#[test]
fn the_agent_enrols_takes_an_assignment_and_reports() {
    let (data, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let service = Service::start(data.path());
    let web = image(&service, "web");
    let places = machine(root.path(), data.path(), &web);
    let config = Config::default();

    // Nothing to do without a credential.
    assert!(start(&places, &config, None).unwrap().is_none());
    let credentials = root.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let join = serde_json::json!({"schema": "kiln.join.v1", "pos": format!("https://{}", service.address),
        "token": token(&service, &web)});
    fs::write(credentials.join("kiln.join"), join.to_string()).unwrap();

    let (inbox, spool) = start(&places, &config, Some(&credentials)).unwrap().unwrap();
    let (mut version, mut sequence) = (fixture::version("web", 1), 0);
    serve(&inbox, &mut version, &mut sequence, |ask| matches!(ask, Ask::Confirm(1)));
    let acks = || service.as_operator().get("/v1/acks").json::<Page<AckView>>().items;
    let first = wait(|| acks().into_iter().next());
    assert_eq!((first.sequence, first.serial), (0, 1), "the baked policy is acknowledged");

    roll_out(&service, &web, 2);
    serve(&inbox, &mut version, &mut sequence, |ask| matches!(ask, Ask::Confirm(2)));
    let second = acks().into_iter().find(|a| a.serial == 2).unwrap();
    assert_eq!(second.sequence, 1, "confirmed only after the service has the evidence");

    for seq in [3, 9] {
        kiln::agent::report::explain::Spool::keep(&mut spool.clone(), &violation(seq));
    }
    let kept = wait(|| {
        let page: Page<ViolationView> = service.as_operator().get("/v1/violations").json();
        (page.items.len() == 2).then_some(page.items)
    });
    assert_eq!(kept.iter().map(|v| v.violation.seq).collect::<Vec<_>>(), [3, 9]);

    // A restart needs no credential, keeps its identity, and proves anew what is in force.
    let instance = fs::read_to_string(places.state.join("instance")).unwrap();
    drop((inbox, spool));
    let (inbox, _spool) = start(&places, &config, None).unwrap().unwrap();
    serve(&inbox, &mut version, &mut sequence, |ask| matches!(ask, Ask::Prove));
    assert_eq!(fs::read_to_string(places.state.join("instance")).unwrap(), instance);
}

#[test]
fn what_the_build_did_not_sign_is_refused_and_told() {
    let (data, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let service = Service::start(data.path());
    let web = image(&service, "web");
    let places = machine(root.path(), data.path(), &web);
    // This machine's image trusts another build than the one that the service was told of.
    let other = kiln::bundle::SigningKey::generate().unwrap();
    fs::write(places.trust().join("policy.pub"), other.public().to_pem()).unwrap();
    let join = serde_json::json!({"schema": "kiln.join.v1", "pos": format!("https://{}", service.address),
        "token": token(&service, &web)});
    fs::write(root.path().join("kiln.join"), join.to_string()).unwrap();
    let (inbox, _spool) = start(&places, &Config::default(), Some(root.path())).unwrap().unwrap();
    let (mut version, mut sequence) = (fixture::version("web", 1), 0);
    serve(&inbox, &mut version, &mut sequence, |ask| matches!(ask, Ask::Confirm(1)));
    roll_out(&service, &web, 2);
    let refused = wait(|| {
        let page: Page<AckView> = service.as_operator().get("/v1/acks").json();
        page.items.into_iter().find(|a| a.serial == 2)
    });
    let text = serde_json::to_string(&refused).unwrap();
    assert!(text.contains("refused") && text.contains("no signature is by a trusted key"), "{text}");
    while let Some((ask, _)) = inbox.next() {
        assert!(!matches!(ask, Ask::Apply(_)), "the kernel is not asked");
    }
}
