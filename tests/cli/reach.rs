//! Which units get a profile, and that each profile reaches its unit: from `kiln derive` through `kiln bake`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

use crate::image;

fn kiln(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(dir).env("NO_COLOR", "1");
    command
}

/// A folder with an image of these units, as `root`; `NAME` starts by a link.
fn scene(units: &[(&str, &str)], started: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    image::build(&dir.path().join("root"), "-- usr/bin/app elf --\n-- etc/machine-id --\n");
    let system = dir.path().join("root/usr/lib/systemd/system");
    let wants = dir.path().join("root/etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&system).unwrap();
    fs::create_dir_all(&wants).unwrap();
    for (name, text) in units {
        fs::write(system.join(name), text).unwrap();
    }
    for name in started {
        let file = match name.split_once('@') {
            Some((prefix, rest)) => format!("{prefix}@.{}", rest.rsplit_once('.').unwrap().1),
            None => (*name).to_owned(),
        };
        symlink(format!("/usr/lib/systemd/system/{file}"), wants.join(name)).unwrap();
    }
    dir
}

/// What a bake needs beside the image and the policy.
fn bake(dir: &Path, policy: &str) -> Command {
    fs::write(dir.join("agent"), crate::image::static_program()).unwrap();
    if !dir.join("keys").exists() {
        kiln(dir).args(["keygen", "keys"]).assert().success();
    }
    let mut command = kiln(dir);
    let fixed = ["--key", "keys/policy.key", "--agent", "agent", "--no-kernel-check"];
    command.args(["bake", "root", "--policy", policy]).args(fixed);
    command
}

const APP: &str = "[Service]\nExecStart=/usr/bin/app\n";

/// systemd-escape(1) is the judge of what an instance is called.
fn escaped(template: &str, path: &str) -> Option<String> {
    let run = std::process::Command::new("systemd-escape").args(["--path", "--template", template, path]).output();
    Some(String::from_utf8(run.ok()?.stdout).unwrap().trim().to_owned())
}

#[test]
fn a_unit_whose_name_is_escaped_is_confined() {
    let name = r"disk@dev-my\x2ddisk.service";
    if let Some(judged) = escaped("disk@.service", "/dev/my-disk") {
        assert_eq!(judged, name);
    }
    let odd = ["cpu.service", "memory.service", "_under.service", "cgroup.service", r"a\x2db.service", "x:y.service"];
    let units: Vec<(&str, &str)> = odd.iter().map(|n| (*n, APP)).chain([("disk@.service", APP)]).collect();
    let dir = scene(&units, &[&odd[..], &[name]].concat());
    kiln(dir.path()).args(["derive", "root", "--all", "-o", "p.pdl"]).assert().success();
    let text = fs::read_to_string(dir.path().join("p.pdl")).unwrap();
    assert!(text.contains(r#"subject unit "disk@dev-my\\x2ddisk.service";"#), "{text}");
    kiln(dir.path()).args(["check", "p.pdl"]).assert().success();
    let mut all = [&odd[..], &[name]].concat();
    all.sort_unstable();
    bake(dir.path(), "p.pdl").assert().success().stdout(contains(format!("confines {}\n", all.join(", "))));
    assert!(dir.path().join("root/usr/lib/systemd/system").join(format!("{name}.d/50-kiln.conf")).exists());
    // The name as it stands, in a pattern, is another name.
    fs::write(dir.path().join("raw.pdl"), text.replace(r"\\x2d", r"\x2d")).unwrap();
    bake(dir.path(), "raw.pdl").assert().code(2).stderr(contains(r"is written with two: `\\x2d`"));
}

#[test]
fn a_template_is_confined_by_its_instances() {
    let dir = scene(&[("app@.service", APP), ("one.service", APP)], &["app@blue.service", "one.service"]);
    let policy = |unit: &str| {
        let text = format!("pdl 1;\nprofile p {{\n  subject unit \"{unit}\";\n  governs exec;\n}}\n");
        fs::write(dir.path().join("p.pdl"), text).unwrap();
        bake(dir.path(), "p.pdl")
    };
    policy("app@.service").assert().code(2).stderr(contains("is a template").and(contains("write app@*.service")));
    policy("app@*.service").assert().success().stdout(contains("confines app@.service"));
    policy("app@[a-c]?*.service").assert().success().stdout(contains("confines app@.service"));
    policy("app@blue.service").assert().success().stdout(contains("confines app@blue.service"));
    policy("app@red.service").assert().success().stderr(contains("no link in the image starts app@red.service"));
    policy("on.service").assert().code(2).stderr(contains("on.service (near to it: one.service)"));
    policy("{one,two}-*.service").assert().code(2).stderr(contains("does not have"));
}

/// What `label` and `image` name is read in the image, by the check, the compiler and the bake alike.
#[test]
fn labels_and_the_name_of_the_image_say_what_is_bound() {
    let labelled = |label: &str| format!("[Unit]\nX-Kiln-Labels={label}\n{APP}");
    let (web, both) = (labelled("web"), labelled("web tier=front"));
    let dir =
        scene(&[("one.service", &web), ("app@.service", &both), ("own.service", &web), ("bare.service", APP)], &[]);
    fs::create_dir_all(dir.path().join("root/etc")).unwrap();
    fs::write(dir.path().join("root/etc/os-release"), "IMAGE_ID=acme-web\nIMAGE_VERSION=3\n").unwrap();
    let write = |lines: &str| {
        // The more specific line wins.
        let own = "profile own { subject unit \"own.service\"; governs exec; allow exec \"/usr/bin/*\"; }\n";
        let text = format!("pdl 1;\nprofile p {{\n{lines}\n  governs read;\n  allow read \"/srv/**\";\n}}\n{own}");
        fs::write(dir.path().join("p.pdl"), text).unwrap();
    };
    let check = || kiln(dir.path()).args(["check", "p.pdl", "--image", "root"]).assert();
    let all = "confines app@.service, one.service, own.service\n";
    write("  subject label \"web\";");
    check().success();
    kiln(dir.path()).args(["check", "p.pdl"]).assert().code(1).stderr(contains("P0601").and(contains("--image")));
    bake(dir.path(), "p.pdl").assert().success().stdout(contains(all));
    // The same in two steps; and not for another image.
    let compile = ["compile", "p.pdl", "-o", "p.tables", "--image", "root"];
    kiln(dir.path()).args(&compile[..4]).assert().code(1).stderr(contains("--image"));
    kiln(dir.path()).args(compile).assert().success();
    bake(dir.path(), "p.tables").assert().success().stdout(contains(all));
    fs::write(dir.path().join("root/usr/lib/systemd/system/two.service"), &web).unwrap();
    bake(dir.path(), "p.tables").assert().code(2).stderr(contains("compiled for an image with other labels"));
    fs::remove_file(dir.path().join("root/usr/lib/systemd/system/two.service")).unwrap();

    write("  subject image \"acme-*:3\", label \"tier=*\";");
    check().success();
    bake(dir.path(), "p.pdl").assert().success().stdout(contains("confines app@.service, own.service\n"));
    write("  subject label \"none\";");
    check().code(1).stderr(contains("P0602").and(contains("p.pdl:3:")).and(contains("label \"none\"")));
    bake(dir.path(), "p.pdl").assert().code(2).stderr(contains("label \"none\""));
    write("  subject unit \"one.service\";\n  subject image \"other\", unit \"bare.service\";");
    check().code(1).stderr(contains("P0602").and(contains("p.pdl:4:")).and(contains("its name is acme-web:3")));
    let lenient = ["--allow-missing-units"];
    let found = "confines one.service, own.service\n";
    bake(dir.path(), "p.pdl")
        .args(lenient)
        .assert()
        .success()
        .stdout(contains(found))
        .stderr(contains("image \"other\""));
}

/// Rules on system calls become lines of the unit's drop-in, which permit nothing that the unit itself refuses.
#[test]
fn system_calls_are_filtered_by_the_drop_in() {
    let own = |lines: &str| format!("[Service]\nExecStart=/usr/bin/app\n{lines}\n");
    let (narrow, refusing) = (own("SystemCallFilter=@basic-io execve"), own("SystemCallFilter=~@mount"));
    let aside = own("ExecStartPre=-+/usr/bin/app");
    let dir = scene(
        &[
            ("open.service", APP),
            ("narrow.service", &narrow),
            ("refusing.service", &refusing),
            ("app@.service", APP),
            ("aside.service", &aside),
        ],
        &[],
    );
    let units = dir.path().join("root/usr/lib/systemd/system");
    let policy = |unit: &str, rules: &str| {
        let text = format!("pdl 1;\nprofile p {{\n  subject unit \"{unit}\";\n  governs syscall;\n{rules}\n}}\n");
        fs::write(dir.path().join("p.pdl"), text).unwrap();
        kiln(dir.path()).args(["check", "p.pdl", "--image", "root"]).assert().success();
        bake(dir.path(), "p.pdl")
    };
    let lines = |unit: &str| fs::read_to_string(units.join(format!("{unit}.d/50-kiln.conf"))).unwrap();
    let service = "allow syscall @system-service;";
    policy("open.service", service).assert().success();
    let text = lines("open.service");
    assert!(text.contains("\nSystemCallArchitectures=\nSystemCallArchitectures=native\nSystemCallFilter=\n"), "{text}");
    assert!(text.contains("\nSystemCallErrorNumber=EPERM\nSystemCallFilter=accept accept4 access "), "{text}");
    policy("app@*.service", "on violation then kill; allow syscall @system-service; deny syscall bind;")
        .assert()
        .success();
    let text = lines("app@.service");
    assert!(text.contains("\nSystemCallErrorNumber=kill\n") && !text.contains(" bind "), "{text}");
    assert!(!units.join("open.service.d/50-kiln.conf").exists());
    policy("narrow.service", service).assert().success();
    let text = lines("narrow.service");
    assert!(text.contains("\nSystemCallFilter=~_sysctl acct ") && !text.contains("SystemCallFilter=accept"), "{text}");
    policy("refusing.service", "allow syscall any;").assert().success();
    assert!(!lines("refusing.service").contains("SystemCall"));
    policy("refusing.service", "allow syscall @system-service, @mount;").assert().success();
    assert!(lines("refusing.service").contains("\nSystemCallFilter=~@mount\n"));
    // What would undo it.
    policy("aside.service", service).assert().code(2).stderr(contains("is started without a filter of system calls"));
    let late = units.join("open.service.d");
    fs::create_dir_all(&late).unwrap();
    fs::write(late.join("60-more.conf"), "[Service]\nSystemCallFilter=@mount\n").unwrap();
    policy("open.service", service).assert().code(2).stderr(contains("is read after Kiln's 50-kiln.conf"));
    fs::rename(late.join("60-more.conf"), late.join("40-more.conf")).unwrap();
    policy("open.service", service).assert().success();
    assert!(lines("open.service").contains("\nSystemCallFilter=~_sysctl acct "));
}

#[test]
fn every_instance_of_an_accepting_socket_gets_the_templates_profile() {
    let socket = "[Socket]\nListenStream=8097\nAccept=yes\n";
    let dir = scene(
        &[
            ("echo.socket", socket),
            ("echo@.service", "[Service]\nExecStart=-/usr/bin/app --peer %i\nStandardInput=socket\n"),
        ],
        &["echo.socket"],
    );
    let output = kiln(dir.path()).args(["derive", "root", "--all", "-o", "p.pdl"]).assert().success();
    output.stderr(contains("`%i` is known only on the running machine"));
    let text = fs::read_to_string(dir.path().join("p.pdl")).unwrap();
    assert!(text.contains("subject unit \"echo@*.service\";"), "{text}");
    bake(dir.path(), "p.pdl").assert().success().stdout(contains("confines echo@.service"));
}

fn report(dir: &Path, args: &[&str], code: i32) -> serde_json::Value {
    let output = kiln(dir).args(["derive", "root", "--format", "json"]).args(args).assert().code(code);
    serde_json::from_slice(&output.get_output().stdout).unwrap()
}

#[test]
fn what_is_not_covered_is_listed_with_its_reason_and_strict_ends_with_1() {
    let dir = scene(
        &[
            ("one.service", APP),
            ("two.service", APP),
            ("day.timer", "[Timer]\nOnCalendar=daily\n"),
            ("day.service", APP),
            ("broken.service", "[Service]\nExecStart=/usr/bin/not-there\n"),
            ("idle.service", APP),
            ("user@.service", "[Service]\nExecStart=/usr/lib/systemd/systemd --user\nPAMName=systemd-user\n"),
            ("systemd-logind.service", "[Service]\nExecStart=/usr/lib/systemd/systemd-logind\n"),
        ],
        &["one.service", "two.service", "broken.service", "systemd-logind.service", "day.timer", "gone.service"],
    );
    let root = dir.path().join("root");
    let generator = root.join("usr/lib/systemd/system-generators/odd-generator");
    fs::create_dir_all(generator.parent().unwrap()).unwrap();
    fs::write(&generator, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&generator, fs::Permissions::from_mode(0o755)).unwrap();
    let wants = root.join("etc/systemd/user/default.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink("../mine.service", wants.join("mine.service")).unwrap();

    let found = report(dir.path(), &["--all"], 0);
    let units: Vec<&str> = found["profiles"].as_array().unwrap().iter().map(|p| p["unit"].as_str().unwrap()).collect();
    assert_eq!(units, ["day.service", "one.service", "two.service"]);
    let rest = |found: &serde_json::Value| {
        let all = found["uncovered"].as_array().unwrap().iter();
        let text = |u: &serde_json::Value, key: &str| u[key].as_str().unwrap().to_owned();
        all.map(|u| format!("{} {}{}", text(u, "kind"), text(u, "unit"), if u["finding"] == true { " !" } else { "" }))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        rest(&found),
        [
            "failed broken.service !",
            "generator /usr/lib/systemd/system-generators/odd-generator !",
            "user user/mine.service !",
            "system systemd-logind.service",
            "system user@.service",
            "absent gone.service",
            "idle idle.service",
            "run_time run-*.service, *.scope"
        ]
    );
    assert!(found["uncovered"].as_array().unwrap().iter().all(|u| !u["reason"].as_str().unwrap().is_empty()));

    let found = report(dir.path(), &["--unit", "one"], 0);
    assert!(rest(&found).contains(&"not_named two.service !".to_owned()));
    let output = dir.path().join("p.pdl");
    let strict = ["derive", "root", "--all", "--strict", "-o", "p.pdl"];
    kiln(dir.path()).args(strict).assert().code(1).stderr(
        contains("strict: 3 of what the image starts")
            .and(contains("no profile for broken.service"))
            .and(contains("odd-generator")),
    );
    assert!(!output.exists());
    let but = ["--except", "broken.service", "--except", "user/**", "--except", "/usr/lib/systemd/system-generators/*"];
    kiln(dir.path()).args(strict).args(but).assert().success().stderr(contains("left out by --except"));
    assert!(output.exists());
}

/// Which services are the system's is told by themselves: the same with a package database and without.
#[test]
fn an_image_without_packages_gets_no_profile_for_the_system_itself() {
    let unit = |program: &str| format!("[Service]\nExecStart={program}\n");
    let system = [
        ("systemd-journald.service", "/usr/lib/systemd/systemd-journald"),
        ("systemd-udevd.service", "/usr/lib/systemd/systemd-udevd"),
        ("systemd-logind.service", "/lib/systemd/systemd-logind"),
        ("dbus.service", "@/usr/bin/dbus-daemon @dbus-daemon --system"),
        ("getty@.service", "-/sbin/agetty -o '-p -- \\\\u' --noclear - $TERM"),
        ("ssh.service", "/usr/sbin/sshd -D $SSHD_OPTS"),
        ("cron.service", "/usr/sbin/cron -f"),
        ("polkit.service", "/usr/lib/polkit-1/polkitd --no-debug"),
    ];
    let mut units: Vec<(&str, String)> = system.iter().map(|(name, program)| (*name, unit(program))).collect();
    units.push(("one.service", APP.to_owned()));
    let units: Vec<(&str, &str)> = units.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let names: Vec<&str> =
        units.iter().map(|(n, _)| if *n == "getty@.service" { "getty@tty1.service" } else { *n }).collect();
    let dir = scene(&units, &names);
    kiln(dir.path())
        .args(["derive", "root"])
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("no package database").and(contains("--unit")).and(contains("--all")));
    let found = report(dir.path(), &["--all"], 0);
    assert_eq!(found["profiles"].as_array().unwrap().len(), 1);
    let left = found["uncovered"].as_array().unwrap().iter().filter(|u| u["kind"] == "system").count();
    assert_eq!(left, system.len());
    kiln(dir.path()).args(["derive", "root", "--unit", "one"]).assert().success().stderr(
        contains("note: the image has no package database")
            .and(contains("left alone, as each is the message bus: dbus.service")),
    );
    // A database without lists knows no files; with `status.d` it does.
    let dpkg = dir.path().join("root/var/lib/dpkg");
    fs::create_dir_all(dpkg.join("status.d")).unwrap();
    fs::write(dpkg.join("status"), "Package: app\nStatus: install ok installed\nPriority: optional\n").unwrap();
    kiln(dir.path()).args(["derive", "root"]).assert().code(2).stderr(contains("no file lists"));
    fs::remove_file(dpkg.join("status")).unwrap();
    fs::write(dpkg.join("status.d/app"), "Package: app\nPriority: optional\n").unwrap();
    fs::write(dpkg.join("status.d/app.md5sums"), "00  usr/lib/systemd/system/one.service\n").unwrap();
    let found = report(dir.path(), &[], 0);
    assert_eq!(found["profiles"].as_array().unwrap().len(), 1);
}

#[test]
fn an_alias_and_names_that_meet_in_one_identifier() {
    let dir = scene(&[("a-b.service", APP), ("a_b.service", APP)], &["a-b.service", "a_b.service"]);
    let system = dir.path().join("root/etc/systemd/system");
    symlink("/usr/lib/systemd/system/a-b.service", system.join("other.service")).unwrap();
    let found = report(dir.path(), &["--all"], 0);
    let names: Vec<&str> =
        found["profiles"].as_array().unwrap().iter().map(|p| p["profile"].as_str().unwrap()).collect();
    assert_eq!(names, ["a_b", "a_b_2"]);
    let found = report(dir.path(), &["--unit", "other"], 0);
    assert_eq!(found["profiles"][0]["unit"], "a-b.service");
}
