//! `kiln bake` and `kiln sign`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

const POLICY: &str = r#"pdl 1;
profile nginx {
  subject unit "nginx.service";
  mode enforce;
  governs read, exec;
  allow exec "/usr/sbin/nginx" because manifest "nginx.service:8";
}
"#;
const KERNEL: &str = "CONFIG_BPF_SYSCALL=y\nCONFIG_BPF_LSM=y\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_CGROUPS=y\n\
    CONFIG_SECURITY_NETWORK=y\nCONFIG_LSM=\"landlock,apparmor,bpf\"\n";

fn kiln(args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(dir).args(args).env("SOURCE_DATE_EPOCH", "1700000000").env("NO_COLOR", "1");
    command
}

/// A folder with an image, a policy, keys and a static "agent".
fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, bytes: &[u8]| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    put("root/boot/config-6.1.0-1-test", KERNEL.as_bytes());
    put("root/usr/lib/systemd/system/nginx.service", b"[Service]\nExecStart=/usr/sbin/nginx\n");
    put("nginx.pdl", POLICY.as_bytes());
    put("agent", &crate::image::static_program());
    kiln(&["keygen", "keys"], dir.path()).assert().success();
    dir
}

const BAKE: [&str; 10] =
    ["bake", "root", "--policy", "nginx.pdl", "--key", "keys/policy.key", "--trust", "keys", "--agent", "agent"];

fn picture(root: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let mut out = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root) {
        let path = entry.unwrap().into_path();
        let meta = path.symlink_metadata().unwrap();
        let bytes = match meta.file_type() {
            t if t.is_file() => fs::read(&path).unwrap(),
            t if t.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
            _ => Vec::new(),
        };
        out.insert(path, (meta.mode(), meta.mtime(), bytes));
    }
    out
}

#[test]
fn the_image_has_the_flat_form_and_says_whether_a_unit_may_be_audited() {
    let dir = scene();
    let imported = "pdl 1;\nabstraction own(where: path) { allow read $where; }\n";
    fs::write(dir.path().join("own.pdl"), imported).unwrap();
    let text = POLICY
        .replace("pdl 1;", "pdl 1;\nimport \"own.pdl\" as own;")
        .replace("  allow exec", "  use own.own(\"/srv/**\");\n  allow exec");
    fs::write(dir.path().join("nginx.pdl"), text).unwrap();
    let baked = |name: &str| fs::read_to_string(dir.path().join("root/usr/lib/kiln").join(name)).unwrap();
    kiln(&BAKE, dir.path()).assert().success();
    let flat = kiln(&["expand", "nginx.pdl"], dir.path()).output().unwrap().stdout;
    assert_eq!(baked("policy.pdl").as_bytes(), flat);
    assert!(baked("policy.pdl").contains("allow read \"/srv/**\";") && !baked("policy.pdl").contains("import"));
    assert!(!baked("agent.json").contains("operator_audit"));
    kiln(&[&BAKE[..], &["--forbid-audit"]].concat(), dir.path()).assert().success();
    assert!(baked("agent.json").contains("\"operator_audit\": \"refuse\""));
}

#[test]
fn a_policy_goes_in_once_and_the_second_time_nothing_changes() {
    let dir = scene();
    kiln(&BAKE, dir.path()).assert().success().stdout(contains("confines nginx.service").and(contains("serial 1")));
    let before = picture(&dir.path().join("root"));
    kiln(&BAKE, dir.path()).assert().success().stdout(contains("nothing to change"));
    assert_eq!(picture(&dir.path().join("root")), before);
    let drop_in = dir.path().join("root/usr/lib/systemd/system/nginx.service.d/50-kiln.conf");
    assert!(fs::read_to_string(drop_in).unwrap().contains("After=kiln-load.service"));
    // The secret half stays where it is.
    let trust: Vec<_> = fs::read_dir(dir.path().join("root/usr/lib/kiln/trust")).unwrap().collect();
    assert_eq!(trust.len(), 1);
}

#[test]
fn compiled_and_signed_elsewhere_is_the_same_image() {
    let (one, two) = (scene(), scene());
    for name in ["policy.key", "policy.pub"] {
        fs::copy(one.path().join("keys").join(name), two.path().join("keys").join(name)).unwrap();
    }
    let report = |command: &mut Command| {
        let out = command.args(["--format", "json"]).assert().success().get_output().stdout.clone();
        serde_json::from_slice::<serde_json::Value>(&out).unwrap()
    };
    let whole = report(&mut kiln(&BAKE, one.path()));
    kiln(&["compile", "nginx.pdl", "-o", "nginx.tables", "--serial", "1"], two.path()).assert().success();
    kiln(&["sign", "nginx.tables", "--key", "keys/policy.key"], two.path()).assert().success();
    let steps =
        ["bake", "root", "--policy", "nginx.tables", "--source", "nginx.pdl", "--trust", "keys", "--agent", "agent"];
    let stepwise = report(&mut kiln(&steps, two.path()));
    assert_eq!(whole["image"], stepwise["image"]);
    assert_eq!(whole["written"], stepwise["written"]);
}

/// Whatever is wrong: exit 2, the reason on standard error, and the image as it was.
fn refused(dir: &Path, args: &[&str], says: &str) {
    let before = picture(&dir.join("root"));
    kiln(args, dir).assert().code(2).stderr(contains(says)).stdout("");
    assert_eq!(picture(&dir.join("root")), before, "{args:?}");
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let dir = scene();
    let at = dir.path();
    let with = |from: &str, to: &'static str| BAKE.map(|a| if a == from { to } else { a }.to_owned());
    let check = |args: [String; 10], says: &str| refused(at, &args.each_ref().map(String::as_str), says);
    check(with("root", "none"), "none");
    check(with("nginx.pdl", "none.pdl"), "none.pdl");
    check(with("keys/policy.key", "keys/policy.pub"), "secret key");
    check(with("agent", "nginx.pdl"), "ELF");
    fs::write(at.join("bad.pdl"), "pdl 1; profile x { allow exec }").unwrap();
    check(with("nginx.pdl", "bad.pdl"), "bad.pdl");
    fs::write(at.join("other.pdl"), POLICY.replace("nginx.service\"", "apache.service\"")).unwrap();
    check(with("nginx.pdl", "other.pdl"), "apache.service");
    fs::write(at.join("binary.pdl"), [0xff, 0xfe, 0]).unwrap();
    check(with("nginx.pdl", "binary.pdl"), "UTF-8");
    kiln(&["keygen", "strangers"], at).assert().success();
    check(with("keys", "strangers"), "would refuse this policy");
    refused(at, &["bake", "root", "--policy", "nginx.pdl", "--agent", "agent", "--trust", "keys"], "--key is needed");
    fs::copy(at.join("keys/policy.key"), at.join("strangers/policy-2.pub")).unwrap();
    check(with("keys", "strangers"), "secret key");
    refused(at, &[&BAKE[..], &["--pos", "http://10.0.2.2"]].concat(), "https://");
    kiln(&["compile", "nginx.pdl", "-o", "cut.tables"], at).assert().success();
    let bytes = fs::read(at.join("cut.tables")).unwrap();
    fs::write(at.join("cut.tables"), &bytes[..bytes.len() - 1]).unwrap();
    check(with("nginx.pdl", "cut.tables"), "tables");
    let mut command = kiln(&BAKE, at);
    command.env("SOURCE_DATE_EPOCH", "yesterday").assert().code(2).stderr(contains("SOURCE_DATE_EPOCH"));
}

#[test]
fn links_out_of_the_image_are_refused() {
    for place in ["usr/lib/kiln", "usr/lib/kiln/trust", "usr/lib/systemd/system/nginx.service.d"] {
        let dir = scene();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let link = dir.path().join("root").join(place);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&outside, &link).unwrap();
        refused(dir.path(), &BAKE, "symbolic link");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}

/// Root writes where modes forbid it, so this runs as somebody else where it can.
#[test]
fn a_directory_that_cannot_be_written_is_left_alone() {
    let dir = scene();
    let root = dir.path().join("root");
    if rustix::process::geteuid().is_root() {
        // An immutable root directory would need a file system that has the flag; a file in the stage's place works
        // everywhere.
        fs::write(root.join(".kiln-bake"), "mine").unwrap();
        refused(dir.path(), &BAKE, ".kiln-bake");
    } else {
        fs::set_permissions(&root, fs::Permissions::from_mode(0o555)).unwrap();
        refused(dir.path(), &BAKE, "cannot");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
