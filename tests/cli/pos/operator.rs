//! Registering, publishing, assigning, listing; and the service as a command.

use std::process::Command;

use kiln::bundle::{Envelope, POLICY_TYPE, SigningKey};
use kiln::model::Digest;
use kiln::wire::{AssignAnswer, ImageView, Page, PublishRequest, RegisterImage, StateView, VersionView};
use serde_json::json;

use super::fixture::{self, Image, assign, enrol, image, publish, registration, roll_out, upload, version};
use super::service::Service;

#[test]
fn registration_is_idempotent_and_checks_what_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let operator = service.as_operator();
    let web = image(&service, "web");
    let good = registration(&web);
    assert_eq!(operator.post("/v1/images", &good).status, 200);
    assert_eq!(upload(&service, &web.baked).status, 200);
    let refused = |request: &RegisterImage| operator.post("/v1/images", request).refusal();
    let renamed = RegisterImage { name: "other".into(), ..good.clone() };
    assert_eq!(refused(&renamed), (409, "image-differs".into()));
    let new = RegisterImage { image: Digest::of(b"another"), ..good.clone() };
    let keyless = RegisterImage { policy_keys: Vec::new(), ..new.clone() };
    assert_eq!(refused(&keyless), (422, "bad-key".into()));
    let bad_key = RegisterImage { policy_keys: vec!["no key".into()], ..new.clone() };
    assert_eq!(refused(&bad_key), (422, "bad-key".into()));
    let other_key = SigningKey::generate().unwrap().public().to_pem();
    let unsigned = RegisterImage { policy_keys: vec![other_key], ..new.clone() };
    assert_eq!(refused(&unsigned), (422, "bad-signature".into()));
    let control = RegisterImage { name: "a\u{1b}[2J".into(), ..new.clone() };
    assert_eq!(refused(&control), (422, "out-of-range".into()));
    let nonsense = RegisterImage { statement: Envelope::sign(POLICY_TYPE, b"{}", &web.key), ..new.clone() };
    assert_eq!(refused(&nonsense), (422, "bad-statement".into()));
    let absent =
        Image { digest: Digest::of(b"absent"), key: SigningKey::generate().unwrap(), baked: version("absent", 1) };
    assert_eq!(refused(&registration(&absent)), (422, "no-tables".into()));
    // The same policy in a second image is fine.
    assert_eq!(operator.post("/v1/images", &new).status, 201);
    let all: Page<ImageView> = operator.get("/v1/images").json();
    assert_eq!(all.items.len(), 2);
    let one: ImageView = operator.get(&format!("/v1/images/{}", web.digest)).json();
    assert_eq!((one.policy_name.as_str(), one.baked_serial), ("web", 1));
    assert_eq!(one.policy_keys, [web.key.public().key_id()]);
}

#[test]
fn tables_are_checked_when_they_are_uploaded() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let operator = service.as_operator();
    let good = version("web", 1);
    let put =
        |digest: Digest, media: &str, bytes: &[u8]| operator.send("PUT", &format!("/v1/tables/{digest}"), media, bytes);
    let tables = "application/vnd.kiln.tables";
    let mut damaged = good.bytes.clone();
    damaged[100] ^= 1;
    assert_eq!(put(good.statement.tables, tables, &damaged).refusal(), (422, "digest-mismatch".into()));
    assert_eq!(put(Digest::of(&damaged), tables, &damaged).refusal(), (422, "bad-tables".into()));
    assert_eq!(put(Digest::of(b""), tables, b"").refusal(), (422, "bad-tables".into()));
    let wrong = put(good.statement.tables, "application/json", &good.bytes).refusal();
    assert_eq!(wrong, (415, "bad-media-type".into()));
    assert_eq!(put(good.statement.tables, tables, &good.bytes).status, 201);
    let path = format!("/v1/tables/{}", good.statement.tables);
    assert_eq!(operator.get(&path).body, good.bytes);
}

#[test]
fn only_newer_versions_by_the_image_s_keys_are_published() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let operator = service.as_operator();
    let two = version("web", 2);
    assert_eq!(publish(&service, &web, &two).refusal(), (422, "no-tables".into()));
    upload(&service, &two);
    let stranger =
        PublishRequest { image: web.digest, statement: two.statement.sign(&SigningKey::generate().unwrap()) };
    assert_eq!(operator.post("/v1/policies", &stranger).refusal(), (422, "bad-signature".into()));
    // Signed with the right key, as something else.
    let assignment = json!({"instance": "i", "serial": 2, "tables": two.statement.tables, "sequence": 1});
    let as_policy = Envelope::sign(POLICY_TYPE, assignment.to_string().as_bytes(), &web.key);
    let request = PublishRequest { image: web.digest, statement: as_policy };
    assert_eq!(operator.post("/v1/policies", &request).refusal(), (422, "bad-statement".into()));
    // Tables that were compiled as another serial than is signed.
    let mut lying = version("web", 2);
    lying.statement.serial = 9;
    assert_eq!(publish(&service, &web, &lying).refusal(), (422, "bad-statement".into()));
    assert_eq!(publish(&service, &web, &two).status, 201);
    assert_eq!(publish(&service, &web, &two).status, 200);
    let four = version("web", 4);
    upload(&service, &four);
    assert_eq!(publish(&service, &web, &four).status, 201);
    let three = version("web", 3);
    upload(&service, &three);
    assert_eq!(publish(&service, &web, &three).refusal(), (409, "serial-not-newer".into()));
    let other_name = version("db", 5);
    upload(&service, &other_name);
    assert_eq!(publish(&service, &web, &other_name).refusal(), (422, "wrong-name".into()));
    let unknown = PublishRequest { image: Digest::of(b"?"), statement: four.statement.sign(&web.key) };
    assert_eq!(operator.post("/v1/policies", &unknown).refusal(), (404, "not-found".into()));
    let all: Page<VersionView> = operator.get("/v1/policies").json();
    assert_eq!(all.items.iter().map(|v| v.serial).collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn assignments_only_go_forward() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let (canary, rest) = (enrol(&service, &web), enrol(&service, &web));
    let (_, first) = roll_out(&service, &web, 2);
    assert_eq!(first.assigned.len(), 2);
    let again: AssignAnswer = assign(&service, &web, 2).json();
    assert_eq!((again.assigned.len(), again.unchanged.len()), (0, 2));
    assert_eq!(assign(&service, &web, 1).refusal(), (409, "serial-not-newer".into()));
    assert_eq!(assign(&service, &web, 7).refusal(), (404, "not-found".into()));

    // One instance first, then all: the one is not sent back or told twice.
    let three = version("web", 3);
    upload(&service, &three);
    publish(&service, &web, &three).json::<VersionView>();
    let one = json!({"instance": canary.id, "name": "web", "serial": 3});
    let done: AssignAnswer = service.as_operator().post("/v1/assignments", &one).json();
    assert_eq!((done.assigned[0].instance.as_str(), done.assigned[0].sequence), (canary.id.as_str(), 2));
    let back = json!({"instance": canary.id, "name": "web", "serial": 2});
    assert_eq!(service.as_operator().post("/v1/assignments", &back).refusal(), (409, "serial-not-newer".into()));
    let all: AssignAnswer = assign(&service, &web, 3).json();
    assert_eq!(all.unchanged, std::slice::from_ref(&canary.id));
    assert_eq!(all.assigned[0].instance, rest.id);

    // Who enrols later gets what the image was assigned.
    let late = enrol(&service, &web);
    let mut stream = service.with(&late.identity).stream("boot-1", 0);
    assert_eq!(stream.message().unwrap()["type"], "hello");
    assert_eq!(stream.message().unwrap()["serial"], 3);
    for bad in [
        json!({"name": "web", "serial": 3}),
        json!({"image": web.digest, "instance": late.id, "name": "web", "serial": 3}),
    ] {
        assert_eq!(service.as_operator().post("/v1/assignments", &bad).refusal(), (400, "bad-request".into()));
    }
    let wrong = json!({"image": web.digest, "name": "db", "serial": 3});
    assert_eq!(service.as_operator().post("/v1/assignments", &wrong).refusal(), (422, "wrong-name".into()));
}

#[test]
fn lists_have_pages() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let ids: Vec<String> = (0..5).map(|_| enrol(&service, &web).id).collect();
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page: StateView = service.as_operator().get(&format!("/v1/state?limit=2{after}")).json();
        assert_eq!((page.instances, page.out_of_step), (5, 5));
        found.extend(page.items.into_iter().map(|i| i.instance));
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(found, ids);
    for query in ["limit=0", "limit=1001", "limit=x", "after=-1", "after=x", "what=1"] {
        assert!(service.as_operator().get(&format!("/v1/instances?{query}")).refusal().0 >= 400, "{query}");
    }
    assert_eq!(service.as_operator().get("/v1/acks?instance=i-nobody").refusal(), (404, "not-found".into()));
}

#[test]
fn one_folder_is_for_one_process_and_codes_tell_what_failed() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path());
    let run = |data: &std::path::Path, listen: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln-pos"));
        let output = command.args(["serve", "--listen", listen, "--data"]).arg(data).args(more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = run(dir.path(), "127.0.0.1:0", &[]);
    assert_eq!(code, Some(4), "{error}");
    let other = tempfile::tempdir().unwrap();
    let (code, error) = run(other.path(), &service.address.to_string(), &[]);
    assert_eq!(code, Some(3), "{error}");
    let (code, error) = run(other.path(), "127.0.0.1:0", &["--name", "not a name"]);
    assert!(code == Some(2) && error.contains("not a name"), "{error}");
    std::fs::write(other.path().join("file"), "").unwrap();
    assert_eq!(run(&other.path().join("file"), "127.0.0.1:0", &[]).0, Some(2));
    std::fs::write(other.path().join("pos.db"), "this is not a database, and long enough to have a header".repeat(40))
        .unwrap();
    let (code, error) = run(other.path(), "127.0.0.1:0", &[]);
    assert_eq!(code, Some(2), "{error}");
    assert!(service.terminate().success());
    Service::start(dir.path());
}

#[test]
fn what_others_were_assigned_is_not_given_out() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let (web, db) = (image(&service, "web"), image(&service, "db"));
    let agent = service.with(&enrol(&service, &web).identity);
    let path = |v: &fixture::Version| format!("/v1/agent/tables/{}", v.statement.tables);
    let own = agent.get(&path(&web.baked));
    assert!(own.head.contains("application/vnd.kiln.tables"));
    assert_eq!(own.body, web.baked.bytes);
    assert_eq!(agent.get(&path(&db.baked)).refusal(), (404, "not-found".into()));
    let (two, _) = roll_out(&service, &web, 2);
    assert_eq!(agent.get(&path(&two)).body, two.bytes);
}
