//! check, fmt, expand and eval.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, starts_with};
use serde_json::Value;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/pdl/ok/samples.pdl");
const WEB: &str = r#"pdl 1;
import "common/files.pdl";

profile web {
  subject unit "web.service";
  governs read, modify, create, delete, setattr, exec, load, bind, connect, accept, capability, kernel;
  use files.logs("/var/log/web/**") because manifest "web.service:4";
  allow connect tcp to $files.lan port 443;
  allow bind udp on "fd00::/8" port 53;
  allow connect unix "/run/web/*.sock", "@bus";
  allow capability net_bind_service;
}
"#;
const COMMON: &str = r#"pdl 1;
let lan = ["10.0.0.0/8"];
abstraction logs(dir: path) {
  allow write $dir;
}
guard fleet {
  subject host "*";
  deny kernel bpf severity critical then kill because control "nist-800-53/CM-7";
}
"#;

fn kiln() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kiln"))
}

/// A folder with `web.pdl`, which imports `common/files.pdl`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("common")).unwrap();
    fs::write(folder.path().join("web.pdl"), WEB).unwrap();
    fs::write(folder.path().join("common/files.pdl"), COMMON).unwrap();
    folder
}

fn json(output: &[u8]) -> Value {
    serde_json::from_slice(output).unwrap()
}

#[test]
fn check_takes_a_good_policy_with_its_imports() {
    let folder = folder();
    kiln()
        .current_dir(&folder)
        .args(["check", "web.pdl"])
        .assert()
        .code(0)
        .stdout(starts_with("ok: 1 profile, 1 guard, 6 rules, 0 warnings; sha256:"));
    let output = kiln().current_dir(&folder).args(["check", "web.pdl", "--format", "json"]).assert().code(0);
    let report = json(&output.get_output().stdout);
    assert_eq!(report["ok"], true);
    assert_eq!(report["guards"], 1);
    // The digest does not depend on where the policy lies.
    let path = folder.path().join("web.pdl");
    let other = kiln().args(["check", "--format", "json"]).arg(path).assert().code(0);
    assert_eq!(json(&other.get_output().stdout)["digest"], report["digest"]);
}

#[test]
fn check_reports_everything_at_once_and_ends_with_1() {
    let bad = "pdl 1;\nprofile p {\n  subject unit \"a\";\n  alow read \"/a\";\n  allow read \"etc\";\n}\n";
    kiln().args(["check", "-"]).write_stdin(bad).assert().code(1).stdout("").stderr(
        contains("P0103").and(contains("P0302")).and(contains("did you mean `allow`?")).and(contains("2 errors")),
    );
    let output = kiln().args(["check", "-", "--format", "json"]).write_stdin(bad).assert().code(1);
    let report = json(&output.get_output().stdout);
    assert_eq!(report["errors"], 2);
    let first = &report["diagnostics"][0];
    assert_eq!((&first["code"], &first["line"], &first["column"]), (&"P0103".into(), &4.into(), &3.into()));
    assert!(first["help"].as_str().unwrap().contains("allow"));
}

#[test]
fn check_denies_warnings_on_request() {
    let text = "pdl 1;\nlet x = \"/a\";\nprofile p {\n  subject unit \"a.service\";\n  governs read;\n  allow read \"/a\";\n}\n";
    kiln().args(["check", "-"]).write_stdin(text).assert().code(0).stderr(contains("P0211"));
    kiln().args(["check", "--deny-warnings", "-"]).write_stdin(text).assert().code(1);
}

#[test]
fn many_warnings_refuse_no_policy_and_hide_no_error() {
    let profile = |n: usize| {
        format!("profile p{n} {{ subject unit \"u{n}.service\"; governs read; allow kernel mount, bpf; }}\n")
    };
    let good = format!("pdl 1;\n{}", (0..300).map(profile).collect::<String>());
    let taken = kiln().args(["check", "-"]).write_stdin(&*good).assert().code(0);
    taken.stdout(contains("300 rules, 600 warnings")).stderr(contains("400 more"));
    kiln().args(["check", "--deny-warnings", "-"]).write_stdin(&*good).assert().code(1);
    let bad = format!("{good}guard g {{ subject host \"*\"; never allow kernel kexec; allow read \"/a\"; }}\n");
    let refused = kiln().args(["check", "-"]).write_stdin(bad).assert().code(1).stdout("");
    refused.stderr(contains("P0403").and(contains("refused: 1 error, 199 warnings, 401 more")));
}

#[test]
fn unreadable_files_end_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("latin1.pdl"), b"pdl 1; # \xe4\n").unwrap();
    fs::write(at("large.pdl"), vec![b' '; (16 << 20) + 1]).unwrap();
    fs::write(at("loop.pdl"), "pdl 1;\nimport \"loop.pdl\";\n").unwrap();
    fs::write(at("absolute.pdl"), "pdl 1;\nimport \"/etc/passwd\" as x;\n").unwrap();
    for (name, message) in [
        ("missing.pdl", "cannot read"),
        (".", "folder"),
        ("latin1.pdl", "not UTF-8 from byte 9"),
        ("large.pdl", "too large"),
        ("loop.pdl", "P0208"),
        ("absolute.pdl", "relative"),
    ] {
        for verb in ["check", "expand"] {
            // That an import is wrong is a finding of `check`; a file that cannot be read is bad input.
            let code = if verb == "check" && matches!(name, "loop.pdl" | "absolute.pdl") { 1 } else { 2 };
            kiln().current_dir(&folder).args([verb, name]).assert().code(code).stderr(contains(message));
        }
    }
    kiln().arg("check").assert().code(2);
}

#[test]
fn fmt_rewrites_files_whole_and_settles() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pdl");
    fs::write(&path, "pdl 1;\nprofile  p{ subject unit \"a\" ; # c\nallow read \"/a\",\"/b\";}").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.path().join("link.pdl");
    std::os::unix::fs::symlink("a.pdl", &link).unwrap();
    kiln().args(["fmt", "--check"]).arg(&path).assert().code(1).stdout(contains("not in canonical layout"));
    kiln().arg("fmt").arg(&link).assert().code(0);
    let expected = "pdl 1;\n\nprofile p {\n  subject unit \"a\"; # c\n  allow read \"/a\", \"/b\";\n}\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    kiln().args(["fmt", "--check"]).arg(&path).assert().code(0).stdout("");
    let output = kiln().args(["fmt", "--check", "--format", "json"]).arg(&path).assert().code(0);
    assert_eq!(json(&output.get_output().stdout)["unchanged"].as_array().unwrap().len(), 1);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn fmt_leaves_broken_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pdl");
    let text = "pdl 1;\nprofile  p { allow }";
    fs::write(&path, text).unwrap();
    kiln().arg("fmt").arg(&path).assert().code(2).stderr(contains("P0102"));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    kiln().args(["fmt", "-"]).write_stdin("pdl  1 ;").assert().code(0).stdout("pdl 1;\n");
}

#[test]
fn expand_prints_a_flat_policy_of_the_same_meaning() {
    let folder = folder();
    let output = kiln().current_dir(&folder).args(["expand", "web.pdl"]).assert().code(0);
    let flat = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(!flat.contains(" use ") && !flat.contains("import") && flat.contains("guard fleet"), "{flat}");
    assert!(flat.contains("allow write \"/var/log/web/**\" because manifest \"web.service:4\";"), "{flat}");
    let digest = |args: &[&str], stdin: &str| {
        let output =
            kiln().current_dir(&folder).args(args).args(["--format", "json"]).write_stdin(stdin).assert().code(0);
        json(&output.get_output().stdout)["digest"].clone()
    };
    let original = digest(&["check", "web.pdl"], "");
    assert_eq!(digest(&["check", "-"], &flat), original);
    // And so does the JSON form, there and back.
    let document = kiln().current_dir(&folder).args(["expand", "web.pdl", "--format", "json"]).assert().code(0);
    fs::write(folder.path().join("web.json"), &document.get_output().stdout).unwrap();
    assert_eq!(json(&document.get_output().stdout)["format"], "kiln.policy/1");
    assert_eq!(digest(&["expand", "--json-input", "web.json"], ""), original);
    kiln().current_dir(&folder).args(["expand", "--json-input", "web.pdl"]).assert().code(2).stderr(contains("schema"));
}

#[test]
fn expand_prints_the_schema() {
    let output = kiln().args(["expand", "--schema"]).assert().code(0);
    let published = include_str!("../../docs/pdl.schema.json");
    assert_eq!(json(&output.get_output().stdout), serde_json::from_str::<Value>(published).unwrap());
}

/// Asks about `web.pdl`, there without its `governs`, so that it governs everything; gives exit code and output.
fn eval(arguments: &[&str]) -> (i32, String) {
    let folder = folder();
    fs::write(folder.path().join("web.pdl"), WEB.replace("  governs", "  # governs")).unwrap();
    let output = kiln()
        .current_dir(&folder)
        .args(["eval", "web.pdl", "--subject", "unit=web.service", "--subject", "user=www-data"])
        .args(arguments)
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn eval_answers_with_the_deciding_rule() {
    for (verb, object, code, text) in [
        ("connect", "tcp:10.0.0.1:443", 0, "allow connect tcp to \"10.0.0.0/8\" port 443 (web.pdl:8)"),
        ("connect", "tcp:10.0.0.1:444", 1, "profile web: no rule allows this connect"),
        ("connect", "tcp:example.org:443", 1, "no rule allows"),
        ("bind", "udp:[fd00::1]:53", 0, "allow bind udp"),
        ("bind", "udp:[fe00::1]:53", 1, "no rule allows"),
        ("connect", "unix:/run/web/a.sock", 0, "allow connect unix"),
        ("connect", "unix:@bus", 0, "allow connect unix"),
        ("connect", "unix:@other", 1, "no rule allows"),
        ("write", "/var/log/web/a", 0, "because manifest \"web.service:4\""),
        ("write", "/var/log/other", 1, "no rule allows this modify"),
        ("capability", "net_bind_service", 0, "allow capability"),
        ("capability", "sys_admin", 1, "no rule allows"),
        ("kernel", "bpf", 1, "guard fleet: deny kernel bpf severity critical then kill (common/files.pdl:8)"),
        ("syscall", "openat", 1, "no rule allows"),
    ] {
        let (status, output) = eval(&["--verb", verb, "--object", object]);
        assert_eq!(status, code, "{verb} {object}: {output}");
        assert!(output.starts_with(if code == 0 { "allow\n" } else { "deny\n" }), "{output}");
        assert!(output.contains(text), "{verb} {object}: {output}");
    }
    let (status, output) = eval(&["--verb", "rename", "--object", "/var/log/web/a", "--object", "/var/log/b"]);
    assert_eq!(status, 1);
    assert!(output.contains("delete /var/log/web/a: allow") && output.contains("create /var/log/b: deny"), "{output}");
}

#[test]
fn eval_knows_the_time_and_speaks_json() {
    let ask = |at: &str| {
        let subject = ["--subject", "exec=/usr/bin/settle", "--verb", "connect", "--object", "tcp:10.30.2.4:5432"];
        let output = kiln().args(["eval", SAMPLES, "--at", at, "--format", "json"]).args(subject).assert().code(0);
        json(&output.get_output().stdout)
    };
    let open = ask("2026-01-05T23:00:00Z");
    assert_eq!(open["atoms"][0]["deciding"]["origin"].as_str().map(|o| o.ends_with("samples.pdl:41")), Some(true));
    // The profile audits, so outside its window it only says what it would do.
    let closed = ask("2026-01-05T09:00:00Z");
    assert_eq!(closed["decision"], "allow");
    assert_eq!(closed["atoms"][0]["would_deny"][0]["action"], "quarantine");
    assert_eq!(closed["profile"], "settlement");
}

#[test]
fn eval_refuses_questions_that_mean_nothing() {
    for arguments in [
        &["--verb", "fly", "--object", "/a"][..],
        &["--verb", "read", "--object", "relative"],
        &["--verb", "read", "--object", "/a/../b"],
        &["--verb", "connect", "--object", "tcp:10.0.0.1"],
        &["--verb", "connect", "--object", "tcp:10.0.0.1:99999"],
        &["--verb", "connect", "--object", "tcp:10.0.0.256:1"],
        &["--verb", "connect", "--object", "tcp:::1:1"],
        &["--verb", "connect", "--object", "ipx:1:1"],
        &["--verb", "capability", "--object", "CAP_CHOWN"],
        &["--verb", "syscall", "--object", "opne"],
        &["--verb", "rename", "--object", "/a"],
        &["--verb", "read", "--object", "/a", "--object", "/b"],
        &["--verb", "read", "--object", "/a", "--subject", "colour=red"],
        &["--verb", "read", "--object", "/a", "--subject", "unit"],
        &["--verb", "read", "--object", "/a", "--subject", "unit=second.service"],
        &["--verb", "read", "--object", "/a", "--at", "yesterday"],
        &["--verb", "read"],
    ] {
        let (status, output) = eval(arguments);
        assert_eq!((status, output.as_str()), (2, ""), "{arguments:?}");
    }
}

#[test]
fn each_verb_shows_an_example() {
    for verb in ["check", "fmt", "expand", "eval"] {
        kiln()
            .args([verb, "--help"])
            .assert()
            .code(0)
            .stdout(contains(format!("kiln {verb} ")).and(contains("Example")));
    }
}

#[test]
fn a_byte_order_mark_says_nothing() {
    let text = "\u{feff}pdl 1;\nprofile p {\n  subject unit \"a.service\";\n  governs read;\n  allow read \"/a\";\n}\n";
    kiln().args(["check", "-"]).write_stdin(text).assert().code(0);
    let shown = kiln().args(["fmt", "-"]).write_stdin(text).assert().code(0);
    assert!(String::from_utf8_lossy(&shown.get_output().stdout).starts_with("pdl 1;"));
}

#[test]
fn alternatives_that_never_match_are_found() {
    let check = |pattern: &str| {
        let text = format!(
            "pdl 1;\nprofile p {{\n  subject unit \"a.service\";\n  governs read;\n  allow read \"{pattern}\";\n}}\n"
        );
        let output = kiln().args(["check", "-"]).write_stdin(text).assert().code(0);
        String::from_utf8_lossy(&output.get_output().stderr).into_owned()
    };
    for (pattern, dead) in [
        ("/srv/www/{,**}", "`/srv/www/`"),
        ("/srv/{a/,b}", "`/srv/a/`"),
        ("/srv/{x,../y}", "`/srv/../y`"),
        ("/srv/{a,{b,}/}c{,/}", "`/srv/ac/`"),
        ("/{,usr/}{,./}bin", "`/usr/./bin`"),
    ] {
        let said = check(pattern);
        assert!(said.contains("P0303") && said.contains(dead), "{pattern}: {said}");
    }
    for pattern in ["/{,usr/}bin/*", "/srv{,/**}", "/srv/{*,x}", "/a\\{,b", "/a[{,}]b", "/{a,b}/**"] {
        assert_eq!(check(pattern), "", "{pattern}");
    }
}

/// Who reads standard error may go away, or be a full disk: the exit code stays what it is.
#[test]
fn nobody_has_to_listen() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.pdl");
    fs::write(&file, "pdl 1;\nprofile p { subject unit \"a\"; allow read \"x\"; }\n").unwrap();
    for (verb, code) in [("check", 1), ("expand", 2), ("eval", 2), ("fmt", 0), ("compile", 2)] {
        for to in ["2>/dev/full", "2>&-", "2>&1 >/dev/null | true", ">&- 2>&-"] {
            let more = if verb == "eval" { "--subject unit=a --verb read --object /x" } else { "" };
            let script = format!(
                "{} {verb} {} {more} {to}; exit ${{PIPESTATUS[0]}}",
                env!("CARGO_BIN_EXE_kiln"),
                file.display()
            );
            let status = std::process::Command::new("bash")
                .args(["-c", &script])
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert_eq!(status.code(), Some(code), "{script}");
        }
    }
}

/// Every example of PDL in the documents is a policy that the kernel can enforce, unless its fence says `pdl refused`.
#[test]
fn examples_of_the_documents_compile() {
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<_> = ["README.md", "SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(Into::into).into();
    for pages in ["docs/*.md", "docs/*/*.md", "examples/*.md", "examples/*/*.md"] {
        files.extend(glob(pages));
    }
    let mut found = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for part in text.split("```pdl").skip(1) {
            let (kind, example) = part.split("```").next().unwrap().split_once('\n').unwrap();
            found += 1;
            let policy = folder.path().join("example.pdl");
            fs::write(&policy, example).unwrap();
            let out = folder.path().join("out");
            let code = i32::from(kind.trim() == "refused");
            assert!(code == 1 || kind.is_empty(), "{}: a fence says `pdl` or `pdl refused`", file.display());
            kiln().arg("check").arg(&policy).assert().code(code);
            kiln().arg("compile").arg(&policy).arg("-o").arg(&out).assert().code(code);
        }
    }
    assert!(found >= 3, "{found}");
}

/// The files of one folder, or of every folder in one.
fn glob(pattern: &str) -> Vec<std::path::PathBuf> {
    let (folders, _) = pattern.rsplit_once('/').unwrap();
    let entries = |folder: &std::path::Path| fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    let folders: Vec<std::path::PathBuf> = match folders.strip_suffix("/*") {
        Some(above) => entries(above.as_ref()),
        None => vec![folders.into()],
    };
    let files = folders.iter().filter(|f| f.is_dir()).flat_map(|f| -> Vec<_> { entries(f) });
    files.filter(|f| f.extension().is_some_and(|e| e == "md")).collect()
}
