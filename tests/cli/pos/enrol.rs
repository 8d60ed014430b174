//! Enrolment, certificates, revocation.

use kiln::wire::{EnrolAnswer, EnrolRequest, InstanceView, RenewAnswer, TokenAnswer};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::client::{Client, Identity};
use super::fixture::{enrol, image, machine, token};
use super::service::Service;

#[test]
fn a_retry_gives_the_same_bytes_and_another_key_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path());
    let image = image(&service, "web");
    let (_, request) = machine(&token(&service, &image));
    // Several at once, as a machine with an impatient network does.
    let answers: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| service.guest().post("/v1/enrol", &request))).collect();
        tries
            .into_iter()
            .map(|t| t.join().unwrap())
            .map(|a| {
                assert_eq!(a.status, 200);
                a.body
            })
            .collect()
    });
    assert!(answers.windows(2).all(|w| w[0] == w[1]));
    let (_, other) = machine(&request.token);
    assert_eq!(service.guest().post("/v1/enrol", &other).refusal(), (409, "token-used".into()));

    // The answer outlives the process, and a changed fact does not change it.
    assert!(service.terminate().success());
    let service = Service::start(dir.path());
    let mut again = request.clone();
    again.facts.boot_id = "boot-2".into();
    assert_eq!(service.guest().post("/v1/enrol", &again).body, answers[0]);
    let first: EnrolAnswer = serde_json::from_slice(&answers[0]).unwrap();
    assert_eq!(first.ca, service.ca);
    let list: serde_json::Value = service.as_operator().get("/v1/instances").json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[test]
fn unknown_and_expired_tokens_and_bad_requests_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path());
    let image = image(&service, "web");
    let (key, good) = machine(&token(&service, &image));
    let refusal = |service: &Service, request: &EnrolRequest| service.guest().post("/v1/enrol", request).refusal();
    let unknown = EnrolRequest { token: "kjt1_AAAA".into(), ..good.clone() };
    assert_eq!(refusal(&service, &unknown), (401, "token-unknown".into()));
    for csr in ["", "garbage", &good.csr[..good.csr.len() / 2], &key.serialize_pem()] {
        assert_eq!(refusal(&service, &EnrolRequest { csr: csr.into(), ..good.clone() }), (422, "bad-csr".into()));
    }
    // A signature by another key than the one that is asked for.
    let der = rustls_pki_types::pem::PemObject::from_pem_slice(good.csr.as_bytes());
    let der: rustls_pki_types::CertificateSigningRequestDer<'static> = der.unwrap();
    let mut forged = der.to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let forged = pem("CERTIFICATE REQUEST", &forged);
    assert_eq!(refusal(&service, &EnrolRequest { csr: forged, ..good.clone() }), (422, "bad-csr".into()));
    let mut long = good.clone();
    long.facts.kernel = "x".repeat(300);
    assert_eq!(refusal(&service, &long), (422, "out-of-range".into()));

    // Time passes: the token's end is moved behind us in the database of the stopped service.
    assert!(service.terminate().success());
    let conn = rusqlite::Connection::open(dir.path().join("pos.db")).unwrap();
    assert_eq!(conn.execute("UPDATE tokens SET expires = 1", []).unwrap(), 1);
    drop(conn);
    let service = Service::start(dir.path());
    assert_eq!(refusal(&service, &good), (410, "token-expired".into()));
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|c| std::str::from_utf8(c).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn a_used_token_still_answers_its_machine_after_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path());
    let image = image(&service, "web");
    let (_, request) = machine(&token(&service, &image));
    let first = service.guest().post("/v1/enrol", &request);
    service.kill();
    rusqlite::Connection::open(dir.path().join("pos.db"))
        .unwrap()
        .execute("UPDATE tokens SET expires = 1", [])
        .unwrap();
    let service = Service::start(dir.path());
    assert_eq!(service.guest().post("/v1/enrol", &request).body, first.body);
}

#[test]
fn failed_enrolments_are_slowed_down() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let (_, request) = machine("kjt1_guess");
    let mut codes: Vec<String> = (0..40).map(|_| service.guest().post("/v1/enrol", &request).refusal().1).collect();
    assert_eq!(codes[0], "token-unknown");
    assert_eq!(codes.pop().unwrap(), "slow-down");
    let answer = service.guest().post("/v1/enrol", &request);
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    // Others are served all the same.
    assert_eq!(service.guest().get("/v1/health").status, 200);
}

#[test]
fn certificates_decide_who_may_do_what() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let image = image(&service, "web");
    let machine = enrol(&service, &image);
    let none = (401, "no-certificate".to_owned());
    for path in ["/v1/state", "/v1/images", "/v1/agent/stream?boot_id=b", "/v1/acks"] {
        assert_eq!(service.guest().get(path).refusal(), none, "{path}");
    }
    // Who asks is settled before what is asked.
    let garbage = service.guest().send("POST", "/v1/agent/acks", "application/json", b"{");
    assert_eq!(garbage.refusal(), none);
    let wrong = (403, "wrong-role".to_owned());
    assert_eq!(service.with(&machine.identity).get("/v1/state").refusal(), wrong);
    assert_eq!(service.as_operator().get("/v1/agent/stream?boot_id=b").refusal(), wrong);

    // A certificate of another CA with the same names does not get through the handshake.
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().signed_by(&key, &issuer).unwrap().pem();
    let stranger = Identity { certificate, key: key.serialize_pem() };
    let error = service.with(&stranger).try_send("GET", "/v1/state", "application/json", b"");
    assert!(error.is_err(), "{error:?}");
    // And a client that trusts another CA does not talk to this service.
    let other = tempfile::tempdir().unwrap();
    let other = Service::start(other.path());
    let fooled = Client::new(service.address, &other.ca, None).try_send("GET", "/v1/health", "application/json", b"");
    assert!(fooled.is_err(), "{fooled:?}");
    // Another service's instance is a stranger here.
    let foreign = enrol(&other, &super::fixture::image(&other, "web"));
    assert!(service.with(&foreign.identity).try_send("GET", "/v1/state", "application/json", b"").is_err());
}

#[test]
fn a_certificate_of_the_ca_that_is_not_on_record_counts_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let read = |name: &str| std::fs::read_to_string(dir.path().join("pki").join(name)).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), KeyPair::from_pem(&read("ca.key")).unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    let unknown = Identity { certificate: params.signed_by(&key, &issuer).unwrap().pem(), key: key.serialize_pem() };
    assert_eq!(service.with(&unknown).get("/v1/state").refusal(), (401, "no-certificate".into()));
    // The server's own certificate is not one of a client.
    let server = Identity { certificate: read("server.pem"), key: read("server.key") };
    assert!(service.with(&server).try_send("GET", "/v1/state", "application/json", b"").is_err());
}

#[test]
fn a_revoked_instance_is_out_at_once_and_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let image = image(&service, "web");
    let (key, request) = machine(&token(&service, &image));
    let answer: EnrolAnswer = service.guest().post("/v1/enrol", &request).json();
    let identity = Identity { certificate: answer.certificate, key: key.serialize_pem() };
    let agent = service.with(&identity);
    let mut stream = agent.stream("boot-1", 0);
    assert_eq!(stream.message().unwrap()["type"], "hello");
    let path = format!("/v1/instances/{}/revoke", answer.instance);
    let view: InstanceView = service.as_operator().post(&path, &json!({"reason": "stolen"})).json();
    assert!(view.revoked.is_some());
    let close = stream.message().unwrap();
    assert_eq!((&close["type"], &close["reason"]), (&json!("close"), &json!("revoked")));
    assert_eq!(stream.message(), None);
    let revoked = (403, "revoked".to_owned());
    assert_eq!(agent.get("/v1/agent/stream?boot_id=boot-1").refusal(), revoked);
    assert_eq!(service.guest().post("/v1/enrol", &request).refusal(), revoked);
    // A second revocation is not an error and changes nothing.
    let again: InstanceView = service.as_operator().post(&path, &json!({"reason": "again"})).json();
    assert_eq!(again.revoked, view.revoked);
    assert_eq!(service.as_operator().post("/v1/instances/i-0/revoke", &json!({"reason": "x"})).status, 404);
}

#[test]
fn certificates_are_renewed_and_tokens_are_kept_as_hashes() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path());
    let image = image(&service, "web");
    let path = format!("/v1/images/{}/tokens", image.digest);
    let issued: TokenAnswer = service.as_operator().post(&path, &json!({"ttl_seconds": 60})).json();
    for ttl in [0_u64, 59, 604_801, u64::MAX] {
        let answer = service.as_operator().post(&path, &json!({"ttl_seconds": ttl}));
        assert_eq!(answer.refusal(), (422, "out-of-range".into()));
    }
    let enrolled = enrol(&service, &image);
    let (key, request) = machine("");
    let renewed = service.with(&enrolled.identity).post("/v1/agent/renew", &json!({"csr": request.csr}));
    let renewed: RenewAnswer = renewed.json();
    let identity = Identity { certificate: renewed.certificate, key: key.serialize_pem() };
    let hello = service.with(&identity).stream("boot-1", 0).message().unwrap();
    assert_eq!(hello["instance"], enrolled.id);
    assert!(service.terminate().success());
    for file in ["pos.db", "pos.db-wal"] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap_or_default();
        let secret = issued.token.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{file} holds a token");
    }
}
