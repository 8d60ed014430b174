//! `kiln seccomp`: filters of system calls for whoever starts a program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::str::contains;
use serde_json::Value;

const POLICY: &str = r#"pdl 1;
profile app {
  subject unit "app.service";
  governs read, syscall;
  allow syscall @system-service;
  deny syscall ptrace, @keyring then kill;
}
profile open { subject unit "open.service"; governs read; allow read "/x"; }
profile timed {
  subject unit "timed.service";
  governs syscall;
  allow syscall @system-service by user "root";
}
profile contained {
  subject exec "/usr/bin/contained";
  governs syscall;
  allow syscall read, write, exit_group;
}
guard fleet {
  subject unit "app.service";
  deny syscall bind, bpf;
}
"#;

fn kiln(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(dir).env("NO_COLOR", "1").args(args);
    command
}

fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("p.pdl"), POLICY).unwrap();
    dir
}

#[test]
fn a_filter_is_printed_as_an_oci_profile() {
    let dir = scene();
    let profile = |args: &[&str]| -> Value {
        let all = [&["seccomp", "p.pdl", "--as", "oci"], args].concat();
        let output = kiln(dir.path(), &all).assert().success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    };
    let app = profile(&["--profile", "app", "--guard", "fleet", "--arch", "x86-64"]);
    assert_eq!((&app["defaultAction"], &app["defaultErrnoRet"]), (&"SCMP_ACT_ERRNO".into(), &1.into()));
    assert_eq!(app["architectures"], serde_json::json!(["SCMP_ARCH_X86_64"]));
    let of = |profile: &Value, action: &str| -> Vec<String> {
        let groups = profile["syscalls"].as_array().unwrap();
        let group = groups.iter().find(|g| g["action"] == action).unwrap_or_else(|| panic!("{profile}"));
        serde_json::from_value(group["names"].clone()).unwrap()
    };
    let (permitted, killed) = (of(&app, "SCMP_ACT_ALLOW"), of(&app, "SCMP_ACT_KILL_PROCESS"));
    assert!(permitted.contains(&"openat".to_owned()) && !permitted.contains(&"bind".to_owned()));
    assert_eq!(killed, ["add_key", "keyctl", "ptrace", "request_key"]);
    // A guard alone refuses what it names.
    let guard = profile(&["--guard", "fleet", "--arch", "aarch64"]);
    assert_eq!((&guard["defaultAction"], of(&guard, "SCMP_ACT_ERRNO").len()), (&"SCMP_ACT_ALLOW".into(), 2));
    assert_eq!(guard["syscalls"][0]["errnoRet"], 1);
    // The subject is the starter's business.
    assert_eq!(of(&profile(&["--profile", "contained"]), "SCMP_ACT_ALLOW"), ["exit_group", "read", "write"]);
}

#[test]
fn what_no_filter_says_is_not_printed() {
    let dir = scene();
    let run = |args: &[&str]| kiln(dir.path(), &[&["seccomp", "p.pdl", "--as", "bpf"], args].concat()).assert();
    run(&["--profile", "open"]).code(2).stderr(contains("write rules on `syscall`"));
    run(&["--profile", "none"]).code(2).stderr(contains("has no profile `none`"));
    run(&["--profile", "timed"]).code(1).stdout("").stderr(contains("knows no conditions"));
    run(&["--profile", "app", "--arch", "riscv"]).code(2).stderr(contains("x86-64 or aarch64"));
    run(&[]).code(2);
}

/// The kernel of this machine runs the program: each number in each way.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernel_refuses_what_the_filter_says() {
    let dir = scene();
    let tool = dir.path().join("try");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "gcc".to_owned());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/seccomp.c");
    let mut compile = std::process::Command::new(compiler);
    compile.args(["-O1", "-Wall", "-Werror", "-o"]).args([&tool, &source]);
    assert!(compile.status().expect("a C compiler is there").success());
    // Newer kernels make uretprobe(2) and uprobe(2) without asking a filter: only their own probes call them.
    let requests: String = (0..470)
        .filter(|nr| !matches!(nr, 335 | 336))
        .map(|nr| format!("n {nr}\n"))
        .chain(["i", "x"].iter().flat_map(|way| [0, 1, 11, 20, 59, 200, 520].map(|nr| format!("{way} {nr}\n"))))
        .collect();
    for (args, foreign) in [
        (&["--profile", "app", "--guard", "fleet"][..], "refused"),
        (&["--guard", "fleet"], "refused"),
        (&["--profile", "contained"], "refused"),
    ] {
        let all = [&["seccomp", "p.pdl", "--as", "bpf", "-o", "filter", "--arch", "x86-64"], args].concat();
        kiln(dir.path(), &all).assert().success().stdout("");
        let policy = kiln::policy::load(&[kiln::pdl::Source::new("p.pdl", POLICY)], &kiln::pdl::NoFiles).unwrap();
        let named = |b: &kiln::policy::normal::Block| args.contains(&b.name.as_str());
        let blocks: Vec<usize> = (0..policy.blocks.len()).filter(|n| named(&policy.blocks[*n])).collect();
        let filter = kiln::compile::call_filter(&policy, &blocks).unwrap().unwrap();
        let output = Command::new(&tool).arg(dir.path().join("filter")).write_stdin(&*requests).assert().success();
        let said = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        assert_eq!(said.lines().count(), requests.lines().count());
        for line in said.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let nr: u32 = words[1].parse().unwrap();
            let call = kiln::policy::syscalls::calls().find(|c| kiln::policy::syscalls::number(c).0 == Some(nr));
            let action = call.map_or(filter.default, |c| filter.of(c));
            let expected = match (words[0], action) {
                ("n", kiln::model::CallAction::Kill) => "killed",
                ("n", kiln::model::CallAction::Refuse) => "refused",
                ("n", _) => "passes",
                _ => foreign,
            };
            // A kernel without a 32-bit entry refuses it by itself.
            assert!(words[2] == expected || words[..3] == ["i", words[1], "gone"], "{args:?} {call:?}: {line}");
        }
    }
}

/// Groups and their calls, as `systemd-analyze syscall-filter` prints them; none where there is no systemd.
fn groups_of_systemd() -> Option<BTreeMap<String, BTreeSet<String>>> {
    let output = std::process::Command::new("systemd-analyze").args(["syscall-filter", "--no-pager"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut groups, mut last) = (BTreeMap::<String, BTreeSet<String>>::new(), None);
    for line in text.lines() {
        match line.strip_prefix("    ") {
            None => last = line.starts_with('@').then(|| line.trim().to_owned()),
            Some(word) if !word.starts_with('#') => {
                if let Some(group) = &last {
                    groups.entry(group.clone()).or_default().insert(word.trim().to_owned());
                }
            }
            Some(_) => {}
        }
    }
    // Groups within groups.
    while let Some((group, within)) =
        groups.iter().find_map(|(g, all)| all.iter().find(|m| m.starts_with('@')).map(|m| (g.clone(), m.clone())))
    {
        let more = groups.get(&within).cloned().unwrap_or_default();
        let all = groups.get_mut(&group).unwrap();
        all.remove(&within);
        all.extend(more);
    }
    Some(groups).filter(|g| !g.is_empty())
}

/// What systemd after 252 has added to its groups, of the calls that the table has.
const ADDED: [&str; 9] = [
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "listmount",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "mseal",
    "seccomp",
    "statmount",
];

#[test]
fn groups_are_those_of_systemd() {
    use kiln::policy::syscalls;
    let Some(groups) = groups_of_systemd() else { return };
    let calls: BTreeSet<&str> = syscalls::calls().collect();
    for group in syscalls::all().filter(|name| name.starts_with('@')) {
        let ours: BTreeSet<&str> = syscalls::members(group).iter().copied().collect();
        let theirs = groups.get(group).unwrap_or_else(|| panic!("{group}"));
        let theirs: BTreeSet<&str> = theirs.iter().map(String::as_str).filter(|c| calls.contains(c)).collect();
        let more: Vec<&&str> = ours.difference(&theirs).collect();
        let fewer: Vec<&&str> = theirs.difference(&ours).filter(|c| !ADDED.contains(c)).collect();
        assert!(more.is_empty() && fewer.is_empty(), "{group}: more {more:?}, fewer {fewer:?}");
    }
}

/// What the agent has of an image, and of a policy that is offered.
fn sealed(dir: &Path, name: &str, text: &str) -> kiln::agent::update::store::Verified {
    fs::write(dir.join(format!("{name}.pdl")), text).unwrap();
    let tables = format!("{name}.tables");
    kiln(dir, &["compile", &format!("{name}.pdl"), "-o", &tables]).assert().success();
    kiln(dir, &["sign", &tables, "--key", "keys/policy.key", "--name", "p"]).assert().success();
    let trusted = kiln::bundle::TrustedKeys::read(&dir.join("lib/trust")).unwrap();
    let trusted = kiln::agent::update::trusted::Trusted::new(trusted, b"host");
    let signature = kiln::prepare::signature_path(&dir.join(&tables));
    kiln::agent::update::store::Verified::read(&dir.join(&tables), &signature, &trusted).unwrap()
}

#[test]
fn the_agent_takes_no_policy_whose_filters_the_image_does_not_have() {
    use kiln::agent::config::Places;
    use kiln::agent::update::calls;
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    kiln(at, &["keygen", "keys"]).assert().success();
    fs::create_dir_all(at.join("lib/trust")).unwrap();
    fs::copy(at.join("keys/policy.pub"), at.join("lib/trust/policy.pub")).unwrap();
    let text = |unit: &str, rules: &str| {
        format!("pdl 1; profile p {{ subject unit \"{unit}\"; governs read, syscall; allow read \"/a\"; {rules} }}")
    };
    let service = "allow syscall @system-service;";
    let places = Places { lib: at.join("lib"), ..Places::default() };
    let baked = sealed(at, "baked", &text("a.service", service));
    // Without the image's own policy nobody knows what units have.
    assert!(calls::check(&places, &baked).is_err());
    fs::copy(at.join("baked.tables"), at.join("lib/policy.tables")).unwrap();
    fs::copy(kiln::prepare::signature_path(&at.join("baked.tables")), at.join("lib/policy.dsse.json")).unwrap();
    calls::check(&places, &baked).unwrap();
    let same = text("a.service", "allow syscall @system-service; allow read \"/b\";");
    calls::check(&places, &sealed(at, "same", &same)).unwrap();
    let open = "pdl 1; profile p { subject unit \"a.service\"; governs read; allow read \"/a\"; }";
    for (name, other) in [
        ("wider", text("a.service", "allow syscall @system-service, @mount;")),
        ("elsewhere", text("b.service", service)),
        ("more", text("a@*.service", service)),
        ("none", open.to_owned()),
    ] {
        let refused = calls::check(&places, &sealed(at, name, &other)).unwrap_err().to_string();
        assert!(refused.contains("another filter of system calls than the image does"), "{name}: {refused}");
    }

    // Who is in the unit and has no filter.
    let proc = at.join("proc");
    for (pid, cgroup, mode) in [
        ("1", "/init.scope", "0"),
        ("20", "/system.slice/a.service", "2"),
        ("21", "/system.slice/a.service/below", "0"),
        ("22", "/user.slice/user-1.slice/user@1.service/a.service", "0"),
        ("23", "/system.slice/other.service", "0"),
    ] {
        fs::create_dir_all(proc.join(pid)).unwrap();
        fs::write(proc.join(pid).join("cgroup"), format!("0::{cgroup}\n")).unwrap();
        fs::write(proc.join(pid).join("status"), format!("Name:\tx\nSeccomp:\t{mode}\nSeccomp_filters:\t0\n")).unwrap();
    }
    let found = calls::unfiltered(&proc, &baked.tables);
    assert_eq!(found, [calls::Unfiltered { pid: 21, unit: "a.service".to_owned() }]);
}
