//! `kiln bake` and `kiln sign`, attacked by the maker of the image, the tables or the folders that they are given.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Stdio;

use assert_cmd::Command;
use predicates::str::contains;
use sha2::{Digest, Sha256};

pub const POLICY: &str = r#"pdl 1;
profile web {
  subject unit "web.service";
  subject unit "web@*.service";
  mode enforce;
  governs read, exec;
  allow exec "/usr/bin/web" because ticket "T \"1\"";
  allow read "/srv/**", "/etc/web with blanks/*";
}
guard all {
  subject unit "*";
  deny read "/etc/shadow";
}
"#;

pub fn kiln(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(dir).args(args).env("NO_COLOR", "1").timeout(std::time::Duration::from_secs(120));
    command
}

pub fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, bytes: &[u8]| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for unit in ["web", "web@", "other"] {
        put(&format!("root/usr/lib/systemd/system/{unit}.service"), b"[Service]\nExecStart=/usr/bin/web\n");
    }
    put("web.pdl", POLICY.as_bytes());
    put("agent", &crate::image::static_program());
    kiln(dir.path(), &["keygen", "keys"]).assert().success();
    dir
}

pub fn bake<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["bake", "root", "--trust", "keys", "--agent", "agent", "--no-kernel-check"];
    [&fixed[..], more].concat()
}

/// Tables whose metadata was changed and whose checksum fits again.
fn forged(bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (k, m) = (number(12), number(16));
    let mut metadata = serde_json::from_slice(&bytes[24 + k..24 + k + m]).unwrap();
    change(&mut metadata);
    let metadata = serde_json::to_vec(&metadata).unwrap();
    let mut out = bytes[..24 + k].to_vec();
    out[16..20].copy_from_slice(&(metadata.len() as u32).to_le_bytes());
    out.extend(metadata);
    let sum = Sha256::digest(&out);
    out.extend(sum);
    out
}

#[test]
fn what_people_read_of_tables_is_what_the_kernel_gets() {
    let dir = scene();
    let at = dir.path();
    kiln(at, &["compile", "web.pdl", "-o", "web.tables"]).assert().success();
    let good = fs::read(at.join("web.tables")).unwrap();
    type Change = fn(&mut serde_json::Value);
    let forgeries: [(&str, Change); 14] = [
        ("no units", |m| m["units"] = serde_json::json!([])),
        ("one unit less", |m| drop(m["units"].as_array_mut().unwrap().pop())),
        ("no units in blocks either", |m| {
            m["units"] = serde_json::json!([]);
            m["blocks"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .for_each(|b| drop(b.as_object_mut().unwrap().remove("units")));
        }),
        ("another unit", |m| {
            let text = m.to_string().replace("web.service", "off.service");
            *m = serde_json::from_str(&text).unwrap();
        }),
        ("a rule's text", |m| m["rules"][0]["text"] = "deny read \"/etc/shadowy\"".into()),
        ("a reason", |m| {
            m["rules"].as_array_mut().unwrap().iter_mut().for_each(|r| {
                if r["because"].is_array() {
                    r["because"][0]["text"] = "T 2".into();
                }
            })
        }),
        ("the policy's digest", |m| m["policy"] = format!("sha256:{}", "0".repeat(64)).into()),
        ("the source", |m| m["source"] = m["source"].as_str().unwrap().replace("/srv/**", "/etc/**").into()),
        ("source and texts", |m| {
            let text = m.to_string().replace("/srv/**", "/etc/**");
            *m = serde_json::from_str(&text).unwrap();
        }),
        ("a comment in the source", |m| m["source"] = format!("# allow\n{}", m["source"].as_str().unwrap()).into()),
        ("no source", |m| m["source"] = "".into()),
        ("a mode", |m| m["blocks"][0]["mode"] = "audit".into()),
        ("a block's name", |m| m["blocks"][0]["name"] = "other".into()),
        ("a subject's profile", |m| m["subjects"][2]["guards"] = serde_json::json!([])),
    ];
    for (what, change) in forgeries {
        let bytes = forged(&good, change);
        assert!(bytes != good, "{what}");
        fs::write(at.join("bad.tables"), bytes).unwrap();
        for args in [
            vec!["sign", "bad.tables", "--key", "keys/policy.key"],
            bake(&["--policy", "bad.tables", "--key", "keys/policy.key"]),
        ] {
            let said = kiln(at, &args).assert().code(2).get_output().stderr.clone();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(said.contains("compile the policy again"), "{what}: {said}");
        }
        assert!(!at.join("root/usr/lib/kiln").exists() && !at.join("bad.dsse.json").exists(), "{what}");
    }
    // The source that is baked beside tables is theirs.
    kiln(at, &["sign", "web.tables", "--key", "keys/policy.key"]).assert().success();
    fs::write(at.join("other.pdl"), POLICY.replace("/srv/**", "/srv/*")).unwrap();
    let other = bake(&["--policy", "web.tables", "--source", "other.pdl"]);
    kiln(at, &other).assert().code(2).stderr(contains("give its own source"));
    kiln(at, &bake(&["--policy", "web.tables", "--source", "web.pdl"])).assert().success();
}

#[test]
fn how_the_policy_is_named_does_not_change_the_image() {
    let dir = scene();
    let at = dir.path();
    fs::create_dir(at.join("parts")).unwrap();
    fs::write(at.join("parts/read.pdl"), "pdl 1;\nabstraction more {\n  allow read \"/opt/**\";\n}\n").unwrap();
    let text = POLICY.replacen("profile", "import \"parts/read.pdl\";\nprofile", 1).replacen(
        "  allow",
        "  use read.more;\n  allow",
        1,
    );
    fs::write(at.join("web.pdl"), text).unwrap();
    let whole = at.join("web.pdl").display().to_string();
    let mut seen = Vec::new();
    for name in ["web.pdl", "./web.pdl", "parts/../web.pdl", &whole] {
        let args = bake(&["--policy", name, "--key", "keys/policy.key", "--format", "json"]);
        let out = kiln(at, &args).assert().success().get_output().stdout.clone();
        let report: serde_json::Value = serde_json::from_slice(&out).unwrap();
        kiln(at, &["compile", name, "-o", "web.tables"]).assert().success();
        seen.push((report["image"].clone(), fs::read(at.join("web.tables")).unwrap()));
    }
    assert!(seen.iter().all(|s| *s == seen[0]));
}

#[test]
fn two_bakes_of_one_image_never_mix() {
    let dir = scene();
    let at = dir.path();
    let args = bake(&["--policy", "web.pdl", "--key", "keys/policy.key"]);
    // As a bake that is still at work has it.
    let held = fs::File::open(at.join("root")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    kiln(at, &args).assert().code(2).stderr(contains("another kiln bake works on it"));
    let copy = [&args[..], &["--output", "copy"]].concat();
    kiln(at, &copy).assert().code(2).stderr(contains("another kiln bake works on it"));
    drop(held);
    // Side by side: each is done whole, or refused.
    for round in 0..4 {
        fs::write(at.join("two.pdl"), POLICY.replace("/srv/**", &format!("/srv{round}/**"))).unwrap();
        let two = bake(&["--policy", "two.pdl", "--key", "keys/policy.key"]);
        let start = |args: &[&str]| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"));
            command.current_dir(at).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let mut both = [start(&args), start(&two)];
        let codes = both.each_mut().map(|child| child.wait().unwrap().code().unwrap());
        assert!(codes.iter().all(|c| matches!(c, 0 | 2)) && codes.contains(&0), "{codes:?}");
        let lib = at.join("root/usr/lib/kiln");
        let read = |name: &str| fs::read(lib.join(name)).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&read("manifest.json")).unwrap();
        for name in ["policy.pdl", "policy.tables", "policy.dsse.json"] {
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(read(name))));
            assert_eq!(manifest["files"][format!("/usr/lib/kiln/{name}")], digest, "{name}");
        }
        let names: Vec<_> = fs::read_dir(at.join("root")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["usr"]);
    }
}

#[test]
fn a_forged_leftover_reaches_nothing() {
    let dir = scene();
    let at = dir.path();
    let stage = at.join("root/.kiln-bake");
    fs::create_dir_all(&stage).unwrap();
    fs::create_dir_all(at.join("root/etc")).unwrap();
    fs::write(at.join("root/etc/passwd"), "root").unwrap();
    fs::write(stage.join("old-0"), "evil").unwrap();
    let args = bake(&["--policy", "web.pdl", "--key", "keys/policy.key"]);
    for existed in [true, false] {
        let journal = serde_json::json!({ "paths": [["etc/passwd", existed]], "made": [], "times": [] });
        fs::write(stage.join("journal.json"), journal.to_string()).unwrap();
        kiln(at, &args).assert().code(2).stderr(contains("remove it and bake again"));
        assert_eq!(fs::read_to_string(at.join("root/etc/passwd")).unwrap(), "root");
    }
    fs::remove_dir_all(&stage).unwrap();
    kiln(at, &args).assert().success();
}

/// Needs a mount namespace of its own, which not every machine gives.
#[test]
fn what_is_mounted_in_an_image_is_not_written() {
    let dir = scene();
    let at = dir.path();
    let args = bake(&["--policy", "web.pdl", "--key", "keys/policy.key"]).join(" ");
    fs::create_dir_all(at.join("host/kiln/trust")).unwrap();
    fs::write(at.join("host/kiln/trust/mine.pub"), "mine").unwrap();
    fs::create_dir_all(at.join("root/usr/lib/kiln")).unwrap();
    let script = format!("mount --bind host/kiln root/usr/lib/kiln || exit 77; {} {args}", env!("CARGO_BIN_EXE_kiln"));
    let run = std::process::Command::new("unshare").args(["-rm", "sh", "-c", &script]).current_dir(at).output();
    let Ok(run) = run else { return };
    if run.status.code() != Some(2) && run.status.code() != Some(0) {
        return;
    }
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.code() == Some(2) && said.contains("is a mount"), "{said}");
    assert_eq!(fs::read_to_string(at.join("host/kiln/trust/mine.pub")).unwrap(), "mine");
}

#[test]
fn only_keys_and_certificates_go_into_an_image() {
    let dir = scene();
    let at = dir.path();
    let args = bake(&["--policy", "web.pdl", "--key", "keys/policy.key"]);
    let key = fs::read_to_string(at.join("keys/policy.key")).unwrap();
    let body = key.lines().nth(1).unwrap();
    let public = fs::read_to_string(at.join("keys/policy.pub")).unwrap();
    let certificate = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    for (name, text) in [
        ("policy-2.pub", key.clone()),
        ("pos.pub", key.to_lowercase()),
        ("pos.pub", body.to_owned()),
        ("pos-ca.pem", key.clone()),
        ("pos-ca.pem", body.to_owned()),
        ("pos-ca.pem", certificate(body)),
        ("pos-ca.pem", format!("{}{key}", certificate("MAMwAQA="))),
    ] {
        let path = at.join("keys").join(name);
        fs::write(&path, &text).unwrap();
        kiln(at, &args).assert().code(2);
        assert!(!at.join("root/usr/lib/kiln").exists(), "{name}: {text}");
        fs::remove_file(path).unwrap();
    }
    // What stands beside the key in its file stays outside.
    fs::write(at.join("keys/pos-ca.pem"), format!("seed {body}\n{}", certificate("MAMwAQA="))).unwrap();
    kiln(at, &args).assert().success();
    let baked = |name: &str| fs::read_to_string(at.join("root/usr/lib/kiln/trust").join(name)).unwrap();
    assert_eq!(baked("policy.pub"), public);
    assert_eq!(baked("pos-ca.pem"), certificate("MAMwAQA="));
}

#[test]
fn a_pipe_in_a_keys_place_does_not_hang() {
    let dir = scene();
    let at = dir.path();
    let fifo = |name: &str| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, at.join(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    fifo("pipe.key");
    kiln(at, &bake(&["--policy", "web.pdl", "--key", "pipe.key"])).assert().code(2).stderr(contains("regular file"));
    kiln(at, &bake(&["--policy", "web.pdl", "--key", "/dev/zero"])).assert().code(2).stderr(contains("regular file"));
    for name in ["policy-2.pub", "pos-ca.pem"] {
        fifo(&format!("keys/{name}"));
        kiln(at, &bake(&["--policy", "web.pdl", "--key", "keys/policy.key"]))
            .assert()
            .code(2)
            .stderr(contains("regular"));
        fs::remove_file(at.join("keys").join(name)).unwrap();
    }
    fifo("disk");
    let args = ["bake", "disk", "--policy", "web.pdl", "--key", "keys/policy.key", "--agent", "agent"];
    kiln(at, &args).assert().code(2).stderr(contains("pipe"));
}

#[test]
fn a_disk_that_is_named_by_a_link_stays_behind_it() {
    let dir = scene();
    let at = dir.path();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    fs::create_dir(at.join("disks")).unwrap();
    let make = std::process::Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d", "root", "disks/real.raw", "16M"])
        .current_dir(at)
        .env("PATH", path)
        .status();
    assert!(make.unwrap().success());
    symlink("disks/real.raw", at.join("disk.raw")).unwrap();
    let before = fs::metadata(at.join("disks/real.raw")).unwrap().ino();
    let args = [
        "bake",
        "disk.raw",
        "--policy",
        "web.pdl",
        "--key",
        "keys/policy.key",
        "--agent",
        "agent",
        "--no-kernel-check",
    ];
    kiln(at, &args).assert().success().stdout(contains("disk.raw"));
    assert!(at.join("disk.raw").symlink_metadata().unwrap().is_symlink());
    assert_ne!(fs::metadata(at.join("disks/real.raw")).unwrap().ino(), before);
    // What a killed bake left beside it goes with the next.
    fs::write(at.join("disks/.kiln-bake-dead42"), "half").unwrap();
    fs::create_dir_all(at.join("disks/.kiln-bake-dead43/root")).unwrap();
    fs::write(at.join("disks/.kiln-bake-mine"), "mine").unwrap();
    let serial = [&args[..], &["--serial", "2"]].concat();
    kiln(at, &serial).assert().success();
    let mut names: Vec<_> = fs::read_dir(at.join("disks")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".kiln-bake-mine", "real.raw"]);
}

/// The proof refuses nothing that Kiln itself compiles.
#[test]
fn every_sample_that_compiles_is_proven() {
    let dir = scene();
    let at = dir.path();
    let mut proven = 0;
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for entry in walkdir::WalkDir::new(corpus) {
        let path = entry.unwrap().into_path();
        if path.extension().is_none_or(|e| e != "pdl") {
            continue;
        }
        let name = path.display().to_string();
        let made = kiln(at, &["compile", &name, "-o", "x.tables", "--kernel", "6.12"]).output().unwrap();
        if made.status.success() {
            kiln(at, &["sign", "x.tables", "--key", "keys/policy.key"]).assert().success();
            proven += 1;
        }
    }
    assert!(proven > 10, "{proven}");
}
