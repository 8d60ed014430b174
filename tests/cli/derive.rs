//! `kiln derive`.

use std::fs;

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

use crate::image;

fn kiln() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kiln"))
}

const WEB: &str = include_str!("../corpus/roots/web.root");

/// The image of a corpus file, and more.
fn root(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    image::build(dir.path(), text);
    dir
}

#[test]
fn corpus() {
    let mut files: Vec<_> = fs::read_dir("tests/corpus/roots").unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        let dir = root(&fs::read_to_string(&path).unwrap());
        // An image without packages says which services it means.
        let all = (!dir.path().join("var/lib/dpkg").exists()).then_some("--all");
        let output = kiln().arg("derive").arg(dir.path()).args(all).output().unwrap();
        let shown = format!(
            "exit {}\n--- stderr\n{}--- stdout\n{}",
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
            String::from_utf8(output.stdout).unwrap()
        );
        let name = format!("derive_{}", path.file_stem().unwrap().to_str().unwrap());
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, shown) });
    }
}

#[test]
fn the_same_image_gives_the_same_bytes_and_nothing_is_left_beside() {
    let out = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..2)
        .map(|n| {
            let dir = root(WEB);
            let file = out.path().join(format!("{n}.pdl"));
            kiln().arg("derive").arg(dir.path()).args(["-u", "nginx", "-o"]).arg(&file).assert().success();
            fs::read_to_string(file).unwrap()
        })
        .collect();
    assert_eq!(texts[0], texts[1]);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 2);
}

#[test]
fn mode_and_json() {
    let dir = root(WEB);
    let mut derive = kiln();
    derive.arg("derive").arg(dir.path()).args(["--mode", "audit", "--format", "json"]);
    let output = derive.output().unwrap();
    assert!(output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["profiles"][0]["profile"], "nginx");
    assert_eq!(report["profiles"][0]["mode"], "audit");
    assert!(report["policy"].as_str().unwrap().contains("mode audit;"));
    let rules = report["profiles"][0]["rules"].as_array().unwrap();
    assert!(!rules.is_empty() && rules.iter().all(|r| !r["because"].as_array().unwrap().is_empty()));
    kiln()
        .arg("derive")
        .arg(dir.path())
        .args(["--mode", "off"])
        .assert()
        .code(2)
        .stderr(contains("enforce, audit, learn"));
}

#[test]
fn what_cannot_be_derived_ends_with_2_and_writes_nothing() {
    let dir = root(WEB);
    let out = dir.path().join("out.pdl");
    let fails = |unit: &str, why: &str| {
        let mut derive = kiln();
        derive.arg("derive").arg(dir.path()).args(["-u", unit, "-o"]).arg(&out);
        derive.assert().code(2).stderr(contains(why));
        assert!(!out.exists());
    };
    fails("none.service", "has no unit");
    fails("../../etc/passwd.service", "not a unit name");
    fails("nginx.socket", "has no unit");
    kiln().args(["derive", "/no/such/root"]).assert().code(2).stderr(contains("image root"));
    let empty = tempfile::tempdir().unwrap();
    kiln()
        .arg("derive")
        .arg(empty.path())
        .assert()
        .code(2)
        .stderr(contains("no package database").and(contains("--unit")));
    kiln().arg("derive").arg(empty.path()).arg("--all").assert().code(2).stderr(contains("no service"));
}

/// Each line of the text of `nginx.conf`, and what must be said about it.
#[test]
fn hostile_configurations_end_with_2_and_say_where() {
    let conf = |text: &[u8], why: &str| {
        let dir = root(WEB);
        fs::write(dir.path().join("etc/nginx/nginx.conf"), text).unwrap();
        let started = kiln().arg("derive").arg(dir.path()).args(["-u", "nginx"]).assert();
        started.code(2).stdout("").stderr(contains(why).and(contains("nginx.conf")));
    };
    conf(b"include nginx.conf;", "includes itself");
    conf("a {".repeat(100_000).as_bytes(), "deeper than 64");
    conf(b"http { server { listen 80", "ends before `;`");
    conf(b"\xff\xfe { \x00", "ends before `;`");
    conf(&vec![b'x'; 100 << 20], "larger than");
    conf(&[b'\'', b'a'].repeat(3 << 10), "quoted word");
}

#[test]
fn hostile_units_are_bounded() {
    let dir = root(WEB);
    let unit = dir.path().join("usr/lib/systemd/system/nginx.service");
    fs::write(&unit, vec![b'x'; 100 << 20]).unwrap();
    kiln().arg("derive").arg(dir.path()).args(["-u", "nginx"]).assert().code(2).stderr(contains("larger than"));
    fs::write(&unit, b"[Service]\nExecStart=/usr/sbin/nginx \xff\xfe\nExecReload=/bin/%H\n").unwrap();
    kiln().arg("derive").arg(dir.path()).args(["-u", "nginx"]).assert().success().stderr(contains("%H"));
    fs::remove_file(&unit).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &unit, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    kiln().arg("derive").arg(dir.path()).args(["-u", "nginx"]).assert().code(2).stderr(contains("not a regular file"));
}

#[test]
fn damaged_programs_are_no_reason_to_stop() {
    let dir = root(WEB);
    let program = dir.path().join("usr/sbin/nginx");
    let whole = fs::read(&program).unwrap();
    for len in [0, 4, 16, 64, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&program, &whole[..len]).unwrap();
        let code = kiln().arg("derive").arg(dir.path()).args(["-u", "nginx"]).output().unwrap().status.code();
        assert!(matches!(code, Some(0 | 2)), "{len}: {code:?}");
    }
}

/// A link out of the image must lead to the image's own file, or to nothing.
#[test]
fn nothing_outside_the_image_is_read() {
    let dir = root(WEB);
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "server { listen 4444; }\n").unwrap();
    let sites = dir.path().join("etc/nginx/sites-enabled");
    std::os::unix::fs::symlink(secret.path(), sites.join("absolute")).unwrap();
    let up = format!("../../../../../../../../../..{}", secret.path().display());
    std::os::unix::fs::symlink(up, sites.join("relative")).unwrap();
    let output = kiln().arg("derive").arg(dir.path()).args(["-u", "nginx"]).output().unwrap();
    assert!(output.status.success());
    assert!(!String::from_utf8(output.stdout).unwrap().contains("4444"));
    assert!(String::from_utf8(output.stderr).unwrap().contains("leads nowhere in the image"));
}
