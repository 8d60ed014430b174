//! `kiln deploy`, `kiln publish`, `kiln status` against a real service, with a test agent in the machine's place.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use kiln::abi::Tables;
use kiln::bundle::PolicyStatement;
use kiln::model::Digest;
use kiln::wire::{AckAnswer, EnrolAnswer, JoinCredential};
use predicates::prelude::*;
use predicates::str::contains;
use rcgen::KeyPair;
use serde_json::Value;

use super::client::{Client, Identity};
use super::fixture::{Version, ack, machine};
use super::service::Service;

const POLICY: &str =
    "pdl 1;\n\nprofile web {\n  subject unit \"web.service\";\n  governs read;\n  allow read \"/srv/**\";\n}\n";
const KERNEL: &str = "CONFIG_BPF_SYSCALL=y\nCONFIG_BPF_LSM=y\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_CGROUPS=y\n\
    CONFIG_SECURITY_NETWORK=y\nCONFIG_LSM=\"landlock,bpf\"\n";

pub(super) struct Scene {
    dir: tempfile::TempDir,
    pub(super) service: Service,
}

impl Scene {
    /// A service, and an image in `root` that trusts it.
    pub(super) fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let service = Service::start(&dir.path().join("pos"));
        let put = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        put("root/boot/config-6.1.0-1-test", KERNEL.as_bytes());
        put("root/usr/lib/systemd/system/web.service", b"[Service]\nExecStart=/bin/web\n");
        put("web.pdl", POLICY.as_bytes());
        put("agent", &crate::image::static_program());
        let scene = Scene { dir, service };
        scene.plain(&["keygen", "keys"]).assert().success();
        scene.bake(&["--trust", "keys", "--trust", "pos"]).assert().success();
        scene
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn plain(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.current_dir(self.path()).args(args).env("NO_COLOR", "1").env_remove("KILN_POS");
        command
    }

    fn bake(&self, more: &[&str]) -> Command {
        let mut command =
            self.plain(&["bake", "root", "--policy", "web.pdl", "--key", "keys/policy.key", "--agent", "agent"]);
        command.args(more);
        command
    }

    /// A command that asks the POS.
    pub(super) fn pos(&self, args: &[&str]) -> Command {
        let mut command = self.plain(args);
        command.env("KILN_POS", format!("https://{}", self.service.address)).env("KILN_POS_IDENTITY", "pos/operator");
        command
    }

    fn json(&self, args: &[&str], code: i32) -> Value {
        let output = self.pos(args).args(["--format", "json"]).assert().code(code).get_output().stdout.clone();
        serde_json::from_slice(&output).unwrap()
    }
}

/// Joins as an agent does: with nothing but what the credential and the image say.
pub(super) fn join(scene: &Scene, credential: &str) -> (String, Client) {
    let credential: JoinCredential = serde_json::from_str(credential).unwrap();
    let address = credential.pos.unwrap().strip_prefix("https://").unwrap().parse().unwrap();
    let ca = fs::read_to_string(scene.path().join("root/usr/lib/kiln/trust/pos-ca.pem")).unwrap();
    let (key, request): (KeyPair, _) = machine(&credential.token);
    let answer: EnrolAnswer = Client::new(address, &ca, None).post("/v1/enrol", &request).json();
    let identity = Identity { certificate: answer.certificate, key: key.serialize_pem() };
    (answer.instance, Client::new(address, &ca, Some(&identity)))
}

fn read_version(bytes: Vec<u8>) -> Version {
    let tables = Tables::read(&bytes).unwrap();
    let statement = PolicyStatement {
        policy: tables.metadata.policy,
        tables: Digest::of(&bytes),
        serial: tables.metadata.serial,
        name: "web".into(),
    };
    Version { kernel_part: Digest::of(&tables.kernel.to_bytes()), bytes, statement }
}

#[test]
fn from_baked_image_to_proven_update() {
    let scene = Scene::new();
    scene.pos(&["status"]).assert().success().stdout(contains("0 instances"));
    scene.pos(&["status", "--instances", "1"]).assert().code(1);
    let text = scene.pos(&["deploy", "root", "--join-out", "web1.join"]).assert().success();
    text.stdout(
        contains("io.systemd.credential.binary:kiln.join=$(base64 -w0 web1.join)").and(contains("kjt1_").not()),
    );
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(scene.path().join("web1.join")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // Again is the same image, with another token for another machine.
    let again = scene.json(&["deploy", "root", "--agent-url", "https://10.0.2.2:8443"], 0);
    assert_eq!(
        again["image"],
        Digest::of(&fs::read(scene.path().join("root/usr/lib/kiln/manifest.json")).unwrap()).to_string()
    );
    assert_eq!(again["join"]["credential"]["pos"], "https://10.0.2.2:8443");
    assert!(
        again["join"]["smbios"].as_str().unwrap().starts_with("type=11,value=io.systemd.credential.binary:kiln.join=")
    );

    let (id, agent) = join(&scene, &fs::read_to_string(scene.path().join("web1.join")).unwrap());
    scene.pos(&["status"]).assert().code(1).stdout(contains(id.as_str()).and(contains("no evidence")));
    let baked = read_version(fs::read(scene.path().join("root/usr/lib/kiln/policy.tables")).unwrap());
    agent.post("/v1/agent/acks", &ack(&baked, 0)).json::<AckAnswer>();
    scene.pos(&["status"]).assert().success().stdout(contains("web 1").and(contains("1 (ACK 1)")));

    let mut stream = agent.stream("boot-1", 0);
    stream.message();
    fs::write(scene.path().join("web.pdl"), POLICY.replace("/srv/**", "/srv/www/**")).unwrap();
    let published = scene.json(&["publish", "web.pdl", "--key", "keys/policy.key"], 0);
    assert_eq!(
        (&published["version"]["serial"], &published["assigned"][0]["instance"]),
        (&2.into(), &id.as_str().into())
    );
    let push = stream.message().unwrap();
    let tables = agent.get(&format!("/v1/agent/tables/{}", push["tables"].as_str().unwrap()));
    let two = read_version(tables.body);
    assert_eq!((two.statement.serial, &push["serial"]), (2, &2.into()));
    scene.pos(&["status"]).assert().code(1).stdout(contains("1 (not 2)"));
    let ack_two = ack(&two, push["sequence"].as_u64().unwrap());
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| scene.json(&["status", "--wait", "60", "--evidence"], 0));
        agent.post("/v1/agent/acks", &ack_two).json::<AckAnswer>();
        waiting.join().unwrap()
    });
    assert_eq!((&waiting["in_step"], &waiting["items"][0]["enforced"]["serial"]), (&true.into(), &2.into()));
    assert_eq!(waiting["evidence"][0]["evidence"]["readback"], two.kernel_part.to_string());
    let table = scene.pos(&["status", "--evidence"]).assert().success();
    table.stdout(contains("sentinel   pid 812").and(contains("a04f5eef06a7f555")).and(contains("connected")));

    // Signed elsewhere; the older; and by a stranger.
    for (serial, code) in [("3", 0), ("1", 2)] {
        scene.plain(&["compile", "web.pdl", "-o", "web.tables", "--serial", serial]).assert().success();
        scene.plain(&["sign", "web.tables", "--key", "keys/policy.key"]).assert().success();
        let done = scene.pos(&["publish", "web.tables"]).assert().code(code);
        if code != 0 {
            done.stderr(contains("serial"));
        }
    }
    assert_eq!(stream.message().unwrap()["serial"], 3);
    scene.plain(&["keygen", "stranger", "--name", "policy-stranger"]).assert().success();
    let stranger = ["publish", "web.pdl", "--key", "stranger/policy-stranger.key"];
    scene.pos(&stranger).assert().code(2).stderr(contains("trusts the key"));
    let image = again["image"].as_str().unwrap();
    scene.pos(&stranger).args(["--image", image]).assert().code(2).stderr(contains("bad-signature"));
}

#[test]
fn what_cannot_be_deployed_says_why() {
    let scene = Scene::new();
    scene.pos(&["deploy", "keys"]).assert().code(2).stderr(contains("kiln bake"));
    scene.pos(&["deploy", "nowhere"]).assert().code(2).stderr(contains("nowhere"));
    // An image that does not trust this service.
    scene.bake(&["--trust", "keys"]).assert().success();
    scene.pos(&["deploy", "root"]).assert().code(2).stderr(contains("trusts no POS"));
    let other = tempfile::tempdir().unwrap();
    drop(Service::start(other.path()));
    scene.bake(&["--trust", "keys", "--trust", other.path().to_str().unwrap()]).assert().success();
    scene.pos(&["deploy", "root"]).assert().code(2).stderr(contains("another POS"));
    // One that was changed after the bake.
    scene.bake(&["--trust", "keys", "--trust", "pos"]).assert().success();
    fs::write(scene.path().join("root/usr/lib/kiln/policy.tables"), "changed").unwrap();
    scene.pos(&["deploy", "root"]).assert().code(2).stderr(contains("policy.tables"));
    // No service, no identity, no address.
    scene.pos(&["status", "--pos", "https://127.0.0.1:1"]).assert().code(2).stderr(contains("no answer"));
    scene.pos(&["status", "--identity", "keys"]).assert().code(2).stderr(contains("cert.pem"));
    scene.pos(&["status", "--pos", "http://127.0.0.1:1"]).assert().code(2).stderr(contains("https://HOST:PORT"));
    scene.plain(&["status"]).assert().code(2).stderr(contains("--pos"));
    let error = scene.pos(&["publish", "web.pdl", "--key", "keys/policy.key"]).assert().code(2);
    error.stderr(contains("no registered image has a policy `web`"));
}

#[test]
fn a_raw_disk_is_deployed_like_its_directory() {
    let scene = Scene::new();
    let as_directory = scene.json(&["deploy", "root", "--name", "web", "--no-token"], 0);
    let disk = scene.path().join("disk.raw");
    let made = std::process::Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .args([&scene.path().join("root"), &disk])
        .arg("32M")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let as_disk = scene.json(&["deploy", "disk.raw", "--name", "web", "--no-token"], 0);
    assert_eq!(as_directory, as_disk);
}
