//! Commands of one image, side by side and killed: each result is one command's, whole, or what was there before.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::hostile::{POLICY, bake, kiln, scene};

fn start(at: &Path, args: &[&str]) -> Child {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(at).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// All files below a folder with their contents and modes, and the times of folders.
fn picture(root: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).into_iter().map(Result::unwrap) {
        let (meta, path) = (entry.path().symlink_metadata().unwrap(), entry.path());
        let what = match meta.is_file() {
            true => hex::encode(fs::read(path).unwrap()),
            false => format!("{} {}", meta.mtime(), meta.mtime_nsec()),
        };
        out.insert(path.strip_prefix(root).unwrap().display().to_string(), format!("{:o} {what}", meta.mode()));
    }
    out
}

fn copy(from: &Path, to: &Path) {
    let run = std::process::Command::new("cp").args(["-a", "--"]).arg(from).arg(to).status().unwrap();
    assert!(run.success());
}

/// The image twice as a disk, and other policies beside `web.pdl`.
fn disk(at: &Path, name: &str) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let args = ["-q", "-F", "-t", "ext4", "-d", "root", name, "16M"];
    let run = std::process::Command::new("mke2fs").args(args).current_dir(at).env("PATH", path).status().unwrap();
    assert!(run.success());
}

#[test]
fn what_two_bakes_write_to_one_place_is_one_of_them() {
    let dir = scene();
    let at = dir.path();
    fs::write(at.join("two.pdl"), POLICY.replace("/srv/**", "/srv2/**")).unwrap();
    disk(at, "disk.raw");
    // To one folder from one image; to one disk in place; to one disk from another.
    for (image, output, kind) in [("root", "out", "folder"), ("disk.raw", "", "disk"), ("disk.raw", "out.raw", "disk")]
    {
        let args = |policy: &'static str| {
            let mut args = bake(&["--policy", policy, "--key", "keys/policy.key"]);
            args[1] = image;
            if !output.is_empty() {
                args.extend(["--output", output]);
            }
            args
        };
        for _ in 0..3 {
            let mut both = [start(at, &args("web.pdl")), start(at, &args("two.pdl"))];
            let codes = both.each_mut().map(|child| child.wait().unwrap().code().unwrap());
            assert!(codes.iter().all(|c| matches!(c, 0 | 2)) && codes.contains(&0), "{kind}: {codes:?}");
            // Whichever it is, baking it again changes nothing.
            let place = if output.is_empty() { image } else { output };
            let whole = ["web.pdl", "two.pdl"].iter().any(|policy| {
                let mut args = bake(&["--policy", policy, "--key", "keys/policy.key", "--format", "json"]);
                args[1] = place;
                copy(&at.join(place), &at.join("again"));
                args[1] = "again";
                let run = kiln(at, &args).assert().success().get_output().stdout.clone();
                let _ = fs::remove_dir_all(at.join("again")).or_else(|_| fs::remove_file(at.join("again")));
                let report: serde_json::Value = serde_json::from_slice(&run).unwrap();
                report["written"].as_array().unwrap().is_empty() && report["removed"].as_array().unwrap().is_empty()
            });
            assert!(whole, "{kind}: {place} is a mixture");
            if !output.is_empty() {
                let _ = fs::remove_dir_all(at.join(output)).or_else(|_| fs::remove_file(at.join(output)));
            }
        }
    }
    let left: Vec<_> = fs::read_dir(at).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|n| !n.starts_with(".kiln-bake")), "{left:?}");
}

#[test]
fn a_bake_that_is_killed_or_ended_is_as_if_it_had_not_been_or_whole() {
    let dir = scene();
    let at = dir.path();
    disk(at, "disk.raw");
    copy(&at.join("root"), &at.join("clean"));
    copy(&at.join("root"), &at.join("first"));
    let before = picture(&at.join("root"));
    let args = bake(&["--policy", "web.pdl", "--key", "keys/policy.key"]);
    let on = |image: &'static str| [&["bake", image], &args[2..]].concat();
    kiln(at, &on("clean")).assert().success();
    let after = picture(&at.join("clean"));
    let raw = fs::read(at.join("disk.raw")).unwrap();
    for (round, signal) in (0..14).zip([rustix::process::Signal::KILL, rustix::process::Signal::TERM].iter().cycle()) {
        let (mut folder, mut disk) = (start(at, &on("root")), start(at, &on("disk.raw")));
        std::thread::sleep(Duration::from_millis(round * 12));
        for child in [&folder, &disk] {
            let _ = rustix::process::kill_process(rustix::process::Pid::from_child(child), *signal);
        }
        let done = folder.wait().unwrap().success();
        disk.wait().unwrap();
        // The next one finds its way: the folder is the clean one's, times of folders included.
        kiln(at, &on("root")).assert().success();
        let now = picture(&at.join("root"));
        assert_eq!(now.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{round}");
        for (path, what) in before.iter().filter(|(p, _)| !p.is_empty() && after.get(*p) == before.get(*p)) {
            assert_eq!(now.get(path), Some(what), "{round}: {path} (done: {done})");
        }
        let disk_now = fs::read(at.join("disk.raw")).unwrap();
        kiln(at, &on("disk.raw")).assert().success();
        let baked = fs::read(at.join("disk.raw")).unwrap();
        assert!(disk_now == raw || disk_now == baked, "{round}: half a disk");
        fs::write(at.join("disk.raw"), &raw).unwrap();
        fs::remove_dir_all(at.join("root")).unwrap();
        copy(&at.join("first"), &at.join("root"));
    }
    let left: Vec<_> = fs::read_dir(at).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|n| !n.starts_with(".kiln-bake")), "{left:?}");
}

#[test]
fn two_commands_that_write_one_file_leave_one_whole() {
    let dir = scene();
    let at = dir.path();
    fs::write(at.join("two.pdl"), POLICY.replace("/srv/**", "/srv2/**")).unwrap();
    let alone = |policy: &str| {
        kiln(at, &["compile", policy, "-o", "alone.tables"]).assert().success();
        fs::read(at.join("alone.tables")).unwrap()
    };
    let whole = [alone("web.pdl"), alone("two.pdl")];
    for _ in 0..4 {
        let both = ["web.pdl", "two.pdl"].map(|policy| start(at, &["compile", policy, "-o", "one.tables"]));
        both.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success()));
        assert!(whole.contains(&fs::read(at.join("one.tables")).unwrap()));
        let _ = fs::remove_dir_all(at.join("pair"));
        let codes =
            [0, 1].map(|_| start(at, &["keygen", "pair"])).map(|mut child| child.wait().unwrap().code().unwrap());
        assert!(codes.contains(&0), "{codes:?}");
        // The halves belong together.
        fs::remove_dir_all(at.join("signed")).ok();
        fs::copy(at.join("one.tables"), at.join("s.tables")).unwrap();
        kiln(at, &["sign", "s.tables", "--key", "pair/policy.key"]).assert().success();
        let args = [
            "bake",
            "root",
            "--policy",
            "s.tables",
            "--trust",
            "pair",
            "--agent",
            "agent",
            "--no-kernel-check",
            "-o",
            "signed",
        ];
        kiln(at, &args).assert().success();
    }
    let left: Vec<_> = fs::read_dir(at).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|n| !n.starts_with('.')), "{left:?}");
}
