//! Policies, images and machines for the tests: real tables, real signatures, real keys.

use kiln::abi::Tables;
use kiln::bundle::{PolicyStatement, SigningKey};
use kiln::compile::{KernelVersion, Options, compile};
use kiln::event::{Evidence, Link, Program, Sentinel, Violation};
use kiln::model::{Action, BlockKind, Digest, EventMode, Severity, Verb, Verdict};
use kiln::pdl::{NoFiles, Source};
use kiln::policy;
use kiln::wire::{
    AckOutcome, AckRequest, AssignAnswer, AssignRequest, EnrolAnswer, EnrolRequest, Facts, PublishRequest,
    RegisterImage, TokenAnswer, TokenRequest, VersionView, ViolationsRequest,
};
use rcgen::{CertificateParams, KeyPair};

use super::client::{Answer, Identity};
use super::service::Service;

/// One version of a policy: its tables file and who they are.
pub struct Version {
    pub bytes: Vec<u8>,
    pub statement: PolicyStatement,
    pub kernel_part: Digest,
}

/// A small policy; each serial permits another path. That of `fleet` has a guard for some hosts.
pub fn version(name: &str, serial: u64) -> Version {
    let text = format!(
        "pdl 1;\n\nprofile {name} {{\n  subject unit \"{name}.service\";\n  governs read;\n  allow read \"/srv/{serial}/**\";\n}}\n"
    );
    let guard = "guard some { subject host \"web-*\"; deny kernel bpf; }\n";
    let text = if name == "fleet" { text + guard } else { text };
    let policy = policy::load(&[Source { name: format!("{name}.pdl").into(), text: text.into() }], &NoFiles).unwrap();
    let digest = policy::digest(&policy);
    let options = Options { policy: digest, serial, kernel: KernelVersion::BASELINE };
    let tables: Tables = compile(&policy, &options).unwrap();
    let bytes = tables.to_bytes().unwrap();
    let statement = PolicyStatement { policy: digest, tables: Digest::of(&bytes), serial, name: name.into() };
    Version { kernel_part: Digest::of(&tables.kernel.to_bytes()), bytes, statement }
}

/// A registered image.
pub struct Image {
    pub digest: Digest,
    pub key: SigningKey,
    pub baked: Version,
}

pub fn upload(service: &Service, version: &Version) -> Answer {
    let path = format!("/v1/tables/{}", version.statement.tables);
    service.as_operator().send("PUT", &path, "application/vnd.kiln.tables", &version.bytes)
}

pub fn registration(image: &Image) -> RegisterImage {
    RegisterImage {
        image: image.digest,
        name: format!("{} image", image.baked.statement.name),
        bundle: None,
        statement: image.baked.statement.sign(&image.key),
        policy_keys: vec![image.key.public().to_pem()],
    }
}

/// Registers an image whose baked policy has serial 1.
pub fn image(service: &Service, name: &str) -> Image {
    let image =
        Image { digest: Digest::of(name.as_bytes()), key: SigningKey::generate().unwrap(), baked: version(name, 1) };
    assert_eq!(upload(service, &image.baked).status, 201);
    assert_eq!(service.as_operator().post("/v1/images", &registration(&image)).status, 201);
    image
}

pub fn token(service: &Service, image: &Image) -> String {
    let path = format!("/v1/images/{}/tokens", image.digest);
    service.as_operator().post(&path, &TokenRequest { ttl_seconds: 600 }).json::<TokenAnswer>().token
}

/// A machine's key and the request with which it enrols.
pub fn machine(token: &str) -> (KeyPair, EnrolRequest) {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let facts = Facts {
        boot_id: "boot-1".into(),
        kernel: "6.1.0-13-cloud-amd64".into(),
        hostname: Some("web1".into()),
        machine_id: None,
        agent: None,
        serial: Some(1),
        tables: None,
    };
    (key, EnrolRequest { token: token.into(), csr, facts })
}

/// An enrolled machine.
pub struct Machine {
    pub id: String,
    pub identity: Identity,
}

pub fn enrol(service: &Service, image: &Image) -> Machine {
    let (key, request) = machine(&token(service, image));
    let answer: EnrolAnswer = service.guest().post("/v1/enrol", &request).json();
    assert_eq!(answer.image, image.digest);
    Machine { id: answer.instance, identity: Identity { certificate: answer.certificate, key: key.serialize_pem() } }
}

pub fn publish(service: &Service, image: &Image, version: &Version) -> Answer {
    let statement = version.statement.sign(&image.key);
    service.as_operator().post("/v1/policies", &PublishRequest { image: image.digest, statement })
}

/// Uploads, publishes and assigns a version to all of an image.
pub fn roll_out(service: &Service, image: &Image, serial: u64) -> (Version, AssignAnswer) {
    let version = version(&image.baked.statement.name, serial);
    upload(service, &version);
    publish(service, image, &version).json::<VersionView>();
    let answer = assign(service, image, serial).json();
    (version, answer)
}

pub fn assign(service: &Service, image: &Image, serial: u64) -> Answer {
    let name = image.baked.statement.name.clone();
    let request = AssignRequest { image: Some(image.digest), instance: None, name, serial };
    service.as_operator().post("/v1/assignments", &request)
}

pub fn ack(version: &Version, sequence: u64) -> AckRequest {
    AckRequest {
        sequence,
        serial: version.statement.serial,
        outcome: AckOutcome::Enforced,
        evidence: Some(Evidence {
            tables: version.statement.tables,
            readback: version.kernel_part,
            serial: version.statement.serial,
            programs: vec![Program { name: "kiln_file_open".into(), id: 41, tag: "a04f5eef06a7f555".into() }],
            links: vec![Link { id: 12, program: 41 }],
            sentinel: Sentinel { pid: 812, time_ns: 7_345_678_901, seq: 17 },
            kernel: "6.1.0-13-cloud-amd64".into(),
            boot_id: "boot-1".into(),
        }),
        reason: None,
    }
}

pub fn violation(seq: u64) -> Violation {
    Violation {
        schema: "kiln.violation.v1".into(),
        time: "2026-01-05T09:00:00.000000000Z".into(),
        seq,
        verdict: Verdict::Denied.into(),
        profile: "nginx".into(),
        block_kind: BlockKind::Profile.into(),
        rule: "no rule permits it".into(),
        because: Vec::new(),
        verb: Verb::Read.into(),
        object: format!("/etc/shadow-{seq}"),
        mode: EventMode::Enforce.into(),
        severity: Severity::High.into(),
        action: Action::Alert.into(),
        pid: 7,
        tid: 7,
        ppid: 1,
        uid: 33,
        comm: "nginx".into(),
        start_time_ns: 1,
        cgroup_id: 2,
        generation: 1,
        subject: "nginx|".into(),
        unit: None,
        exe: None,
    }
}

pub fn batch(boot: &str, seqs: impl IntoIterator<Item = u64>) -> ViolationsRequest {
    ViolationsRequest { boot_id: boot.into(), dropped: 0, violations: seqs.into_iter().map(violation).collect() }
}
