//! The owners of the formats as judges: nginx, systemd, the loader of glibc, dpkg. `scripts/setup --test` installs them;
//! where one is missing, the test says so and judges nothing.

pub mod dpkg;
pub mod loader;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use kiln::manifest::readers::nginx::Config;
use kiln::manifest::systemd::{Environment, Unit, exec::commands};
use kiln::manifest::{Origin, Root};

use super::{build, cases, head, unit_of};

/// Runs a program; `None` where the machine has none of that name.
fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("{:?} is not installed: nothing is judged", command.get_program());
            None
        }
        Err(e) => panic!("{e}"),
    }
}

/// Entries of a `map`.
pub const TEXTS: [&str; 35] = [
    "a b;",
    "a 'b;}' ;",
    "'a' \"b\\\"c\";",
    "a b",
    "a b; }",
    "a b; {",
    "'a'b c;",
    "\"a\";",
    "a \"b\"c;",
    "a ${b}c;",
    "${host}x y;",
    "a $b{ c; }",
    "a \\;b c;",
    "a b\\;",
    "a # c;\nb;",
    "a b; # }",
    "a#b c;",
    ";",
    "a b;;",
    "\\a \\b;",
    "a 'b\nc';",
    "a \"",
    "a\u{c}b c;",
    "a\tb\r\n;c d;",
    "~^x{2}$ y;",
    "\"~^x{2}$\" y;",
    "a ')';",
    "root /root;",
    "default a;",
    "hostnames;",
    "é \u{fffd};",
    "a {",
    "a '' ;",
    "\"\" a;",
    "a b\\",
];

/// Each text as the entries of a `map`: nginx accepts it exactly where Kiln does.
#[test]
fn nginx_takes_the_same_words() {
    for text in TEXTS {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("nginx.conf");
        let whole = format!(
            "pid {0}/pid; error_log stderr; events {{}} http {{ access_log off; client_body_temp_path {0}/1; proxy_temp_path {0}/2; fastcgi_temp_path {0}/3; uwsgi_temp_path {0}/4; scgi_temp_path {0}/5; map $host $x {{ {text} }} }}",
            dir.path().display()
        );
        fs::write(&conf, &whole).unwrap();
        let Some(output) = run(Command::new("nginx").args(["-t", "-e", "stderr", "-c"]).arg(&conf)) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        // What the module says of the entries is not about words.
        let lexical = ["unexpected", "too long", "is not terminated"].iter().any(|w| said.contains(w));
        let root = Root::open(dir.path()).unwrap();
        let read = Config::read(&root, "/nginx.conf", Origin::known("test", "judge"), &mut Vec::new());
        assert_eq!(read.is_err(), lexical, "{text:?}: nginx: {said} Kiln: {read:?}");
    }
}

/// The files that nginx reads are those that Kiln reads.
#[test]
fn nginx_reads_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let at = |p: &str| dir.path().join(p);
    fs::create_dir_all(at("d/sub")).unwrap();
    let here = dir.path().display().to_string();
    let files = [
        (
            "nginx.conf",
            "include d/*.conf; include 'd/q[a-b]'; include d/.[h]; include d/none*; include d/s?b/x; events {} http { map $host $a { include m; } geo $g { include m; } include d/http.inc; }",
        ),
        ("d/a.conf", "worker_processes 1;"),
        ("d/.hidden.conf", "broken {"),
        ("d/.h", "env A;"),
        ("d/qa", "env B;"),
        ("d/qc", "broken {"),
        ("d/sub/x", "env C;"),
        ("d/http.inc", "types { text/html html; }"),
        ("m", "127.0.0.1 1;"),
    ];
    for (path, text) in files {
        fs::write(at(path), text).unwrap();
    }
    let globals = "error_log stderr; pid /dev/null;";
    let mut nginx = Command::new("nginx");
    nginx.args(["-T", "-e", "stderr", "-g", globals, "-p", &here, "-c", "nginx.conf"]);
    let Some(output) = run(&mut nginx) else { return };
    let dump = String::from_utf8_lossy(&output.stdout);
    let theirs: BTreeSet<String> = dump
        .lines()
        .filter_map(|l| l.strip_prefix("# configuration file ")?.strip_suffix(':'))
        .map(|p| p.strip_prefix(&here).unwrap().replace("//", "/"))
        .collect();
    assert!(theirs.len() > 5, "{dump} {}", String::from_utf8_lossy(&output.stderr));
    let root = Root::open(dir.path()).unwrap();
    let config = Config::read(&root, "/nginx.conf", Origin::known("test", "judge"), &mut Vec::new()).unwrap();
    let ours: BTreeSet<String> = config.files.into_iter().map(|f| f.path).collect();
    assert_eq!(ours, theirs);
}

/// What `systemd-analyze verify` says of a unit when it debugs.
fn dump(root: &Path, unit: &str) -> Option<String> {
    let mut analyze = Command::new("systemd-analyze");
    analyze.arg(format!("--root={}", root.display())).args(["verify", unit]).env("SYSTEMD_LOG_LEVEL", "debug");
    let output = run(&mut analyze)?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Each unit of the corpus: systemd's drop-ins, command lines, lists and capabilities are those that Kiln reads.
#[test]
fn systemd_loads_the_same_units() {
    let mut judged = 0;
    for (path, text) in cases().into_iter().filter(|(_, t)| head(t).any(|h| h == ("judge", "systemd"))) {
        let dir = build(&text);
        let unit = unit_of(&text);
        let Some(dump) = dump(dir.path(), unit) else { return };
        // The unit itself is the last that is shown; others come before it.
        let root = Root::open(dir.path()).unwrap();
        let loaded = Unit::load(&root, unit, &mut Vec::new()).unwrap();
        let Some(own) = dump.split("-> Unit ").find(|part| part.starts_with(&format!("{}:", loaded.name))) else {
            panic!("{}: systemd shows no unit {}: {dump}", path.display(), loaded.name);
        };
        let all =
            |key: &str| own.lines().filter_map(|l| l.trim_start().strip_prefix(key)).map(str::trim).collect::<Vec<_>>();
        let here = fs::canonicalize(dir.path()).unwrap().display().to_string();
        let theirs: Vec<&str> = all("DropIn Path:").into_iter().map(|p| p.strip_prefix(&here).unwrap_or(p)).collect();
        // systemd names those that are masked, too.
        let masked = |p: &&str| fs::read_link(dir.path().join(&p[1..])).is_ok_and(|t| t == Path::new("/dev/null"));
        let theirs: Vec<&str> = theirs.into_iter().filter(|p| !masked(p)).collect();
        let plain = |p: &str| if p.starts_with("/lib/") { format!("/usr{p}") } else { p.to_owned() };
        let theirs: Vec<String> = theirs.into_iter().map(plain).collect();
        assert_eq!(loaded.drop_ins, theirs, "{}", path.display());
        let mut lines = Vec::new();
        for key in kiln::manifest::service::COMMANDS {
            for entry in loaded.list("Service", key) {
                for line in commands(&entry.value, &loaded.name, &Environment::default()).unwrap_or_default() {
                    lines.push(line.program);
                }
            }
        }
        let shown: Vec<String> = all("Command Line:")
            .into_iter()
            .map(|l| l.split(' ').next().unwrap_or_default().trim_matches('"').to_owned())
            .collect();
        for program in &lines {
            // A program by name is shown by its path.
            let name = program.rsplit('/').next().unwrap_or_default();
            assert!(
                shown.iter().any(|s| s == program || s.rsplit('/').next() == Some(name)),
                "{}: {program}: {shown:?}",
                path.display()
            );
        }
        assert_eq!(lines.len(), shown.len(), "{}: {lines:?} {shown:?}", path.display());
        let keys = ["ReadWritePaths", "ReadWriteDirectories"];
        let mut ours: Vec<String> =
            loaded.words("Service", &keys, &mut Vec::new()).into_iter().map(|(w, _)| w).collect();
        // What is not absolute, and `%%`, systemd sees to when it reads, Kiln when it makes rules: the case says so.
        ours.iter_mut().for_each(|w| *w = w.replace("%%", "%"));
        ours.retain(|w| w.trim_start_matches(['-', '+']).starts_with('/'));
        assert_eq!(ours.join(" "), all("ReadWritePaths:").join(" "), "{}", path.display());
        judged += 1;
    }
    assert!(judged >= 8, "{judged}");
}

/// Settings of capabilities.
pub const SETS: [&str; 8] = [
    "AmbientCapabilities=~CAP_SYS_ADMIN CAP_SYS_MODULE",
    "AmbientCapabilities=CAP_NET_RAW\nAmbientCapabilities=~CAP_NET_RAW",
    "AmbientCapabilities=CAP_NET_RAW\nAmbientCapabilities=~CAP_NET_RAW\nAmbientCapabilities=~CAP_KILL",
    "AmbientCapabilities=CAP_KILL\nAmbientCapabilities=\nAmbientCapabilities=cap_chown CAP_SETUID",
    "AmbientCapabilities=CAP_KILL CAP_NET_RAW\nCapabilityBoundingSet=CAP_KILL",
    "AmbientCapabilities=CAP_KILL CAP_NET_RAW\nCapabilityBoundingSet=~CAP_KILL\nCapabilityBoundingSet=CAP_CHOWN",
    "AmbientCapabilities=~\nCapabilityBoundingSet=CAP_CHOWN CAP_KILL",
    "AmbientCapabilities=CAP_KILL\nCapabilityBoundingSet=",
];

/// The capabilities that systemd computes are those that Kiln derives.
#[test]
fn systemd_joins_the_same_capabilities() {
    for set in SETS {
        let dir = build(&format!(
            "-- usr/lib/systemd/system/app.service --\n[Service]\nUser=nobody\nExecStart=/usr/bin/app\n{set}\n"
        ));
        let Some(dump) = dump(dir.path(), "app.service") else { return };
        let read = |key: &str| {
            let line = dump.lines().find_map(|l| l.trim_start().strip_prefix(key));
            line.map(|l| l.split_whitespace().map(|c| c.trim_start_matches("cap_").to_owned()).collect::<BTreeSet<_>>())
        };
        let mut theirs = read("AmbientCapabilities:").unwrap_or_default();
        if let Some(bound) = read("CapabilityBoundingSet:") {
            theirs.retain(|c| bound.contains(c));
        } else if set.contains("CapabilityBoundingSet=") && set.ends_with("Set=") {
            theirs.clear();
        }
        let derived = assert_cmd::Command::new(env!("CARGO_BIN_EXE_kiln"))
            .arg("derive")
            .arg(dir.path())
            .args(["-u", "app", "--format", "json"])
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&derived.stdout).unwrap();
        let rules = report["profiles"][0]["rules"].as_array().unwrap();
        let names = rules.iter().filter_map(|r| r["what"]["names"].as_array()).flatten();
        let ours: BTreeSet<String> = names.map(|n| n.as_str().unwrap().to_owned()).collect();
        assert_eq!(ours, theirs, "{set}");
    }
}
