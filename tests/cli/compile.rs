//! `kiln compile`.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

const GOOD: &str = r#"pdl 1;
profile web {
  subject unit "web.service";
  governs read, exec, connect;
  allow read "/etc/**" because manifest "web.service:3";
  allow exec "/usr/sbin/web";
  allow connect tcp to "10.0.0.0/8" port 443;
}
guard host_integrity {
  subject host "*";
  deny write "/boot/**" severity high then alert because control "nist-800-190/4.5.5";
  deny kernel bpf, kexec severity critical then kill;
}
"#;

fn kiln() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kiln"))
}

fn policy(dir: &TempDir, text: &str) -> std::path::PathBuf {
    let path = dir.path().join("web.pdl");
    fs::write(&path, text).unwrap();
    path
}

fn read(path: &Path) -> kiln::abi::Tables {
    kiln::abi::Tables::read(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn tables_are_written_and_the_same_each_time() {
    let dir = TempDir::new().unwrap();
    let (pdl, one, two) = (policy(&dir, GOOD), dir.path().join("one"), dir.path().join("two"));
    for out in [&one, &two] {
        kiln().arg("compile").arg(&pdl).arg("-o").arg(out).args(["--serial", "3"]).assert().success();
    }
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    let tables = read(&one);
    assert_eq!((tables.metadata.serial, &*tables.metadata.kernel), (3, "6.1"));
    assert_eq!(tables.metadata.units, ["web.service"]);
    let rule = &tables.metadata.rules[0];
    assert_eq!((&*rule.text, rule.because[0].text.as_str()), ("allow read \"/etc/**\"", "web.service:3"));
    assert!(rule.origin.ends_with("web.pdl:5"), "{}", rule.origin);
}

#[test]
fn machines_get_one_document() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("tables");
    let run =
        kiln().args(["--format", "json", "compile"]).arg(policy(&dir, GOOD)).arg("-o").arg(&out).assert().success();
    let report: serde_json::Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["tables"]["subjects"], serde_json::json!(["|", "!sentinel", "web|"]));
    let digest = kiln::abi::Tables::digest(&fs::read(&out).unwrap()).to_string();
    assert_eq!(report["tables"]["digest"], digest.as_str());
}

#[test]
fn what_cannot_be_enforced_is_a_finding_and_writes_nothing() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("tables");
    let pdl = policy(&dir, &GOOD.replace("  governs read, exec, connect;\n", "").replace("then kill", "then throttle"));
    let run = kiln().arg("compile").arg(&pdl).arg("-o").arg(&out).assert().code(1);
    let said = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(said.contains("governs read, modify, create, delete, setattr, exec, load, bind"), "{said}");
    assert!(said.contains("does not name services") && said.contains("web.pdl:11"), "{said}");
    assert!(!out.exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something half-written was left");

    let run = kiln().args(["--format", "json", "compile"]).arg(&pdl).arg("-o").arg(&out).assert().code(1);
    let report: serde_json::Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["gaps"].as_array().unwrap().len(), 2);
    assert!(report["gaps"].as_array().unwrap().iter().all(|g| g["mend"].is_string() && g["reason"].is_string()));
}

#[test]
fn bad_input_ends_with_two() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("tables");
    let pdl = policy(&dir, "pdl 1; profile {");
    kiln().arg("compile").arg(&pdl).arg("-o").arg(&out).assert().code(2);
    kiln().arg("compile").arg(dir.path().join("none.pdl")).arg("-o").arg(&out).assert().code(2);
    kiln().arg("compile").arg(&pdl).assert().code(2);
    fs::write(&pdl, b"pdl 1; # \xff").unwrap();
    kiln().arg("compile").arg(&pdl).arg("-o").arg(&out).assert().code(2);
    let good = policy(&dir, GOOD);
    for kernel in ["5.15", "6.0", "six", ""] {
        kiln().arg("compile").arg(&good).arg("-o").arg(&out).args(["--kernel", kernel]).assert().code(2);
    }
    kiln().arg("compile").arg(&good).arg("-o").arg(dir.path().join("no/such/folder")).assert().code(2);
    assert!(!out.exists());
}
