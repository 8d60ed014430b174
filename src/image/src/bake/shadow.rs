//! What in an image would keep systemd from loading the policy: units, drop-ins and links that stand before Kiln's, or
//! that mask them.

use std::collections::BTreeSet;

use super::BakeError;
use super::image::{Image, Kind};
use super::layout::{AGENT_UNIT, DROP_IN, LIB, LOAD_UNIT, UNITS};
use super::settings::settings;

/// Bytes of a unit file; systemd refuses larger ones.
pub(super) const MAX_UNIT: u64 = 1 << 20;

/// Where systemd looks for the system's units, strongest first (src/basic/path-lookup.c of systemd 252 to 258).
pub(super) const LOAD_PATH: [&str; 14] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "etc/systemd/system.attached",
    "run/systemd/system",
    "run/systemd/system.attached",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "usr/lib/systemd/system.attached",
    "run/systemd/generator.late",
];

/// Without these the policy is not loaded, or not where it should be: the mounts are those that its unit requires.
const NEEDED: [&str; 10] = [
    "sysinit.target",
    "multi-user.target",
    "-.mount",
    "usr.mount",
    "run.mount",
    "var.mount",
    "var-lib.mount",
    "sys.mount",
    "sys-fs.mount",
    "sys-fs-bpf.mount",
];

/// Whether systemd needs a unit so as to load the policy: one that is masked is not there.
pub(super) fn needed(unit: &str) -> bool {
    matches!(unit, LOAD_UNIT | AGENT_UNIT) || NEEDED.contains(&unit)
}

/// What a mount would hide of Kiln: its files, and the units of packages among which its own are.
const COVERED: [&str; 3] = [LIB, UNITS, "usr/lib/systemd/systemd"];

/// Settings that may be there for every service, and beginnings of such (`X-`, `Log…`): they neither keep a unit from
/// being started nor change what it runs.
const HARMLESS: [&str; 23] = [
    "Description",
    "Documentation",
    "TimeoutStopSec",
    "TimeoutAbortSec",
    "TimeoutStartFailureMode",
    "TimeoutStopFailureMode",
    "OOMPolicy",
    "OOMScoreAdjust",
    "Nice",
    "Slice",
    "Restart",
    "RestartSec",
    "StandardOutput",
    "StandardError",
    "SyslogIdentifier",
    "UMask",
    "KeyringMode",
    "FileDescriptorStoreMax",
    "FileDescriptorStorePreserve",
    "LimitCORE",
    "MemoryLow",
    "MemoryMin",
    "MemoryOOMGroup",
];
const HARMLESS_FAMILIES: [&str; 4] = ["X-", "LogLevel", "LogRate", "ManagedOOM"];

/// Settings that leave a small program enough from this number on.
const ENOUGH: [(&str, u64); 7] = [
    ("LimitNOFILE", 512),
    ("LimitNPROC", 64),
    ("LimitMEMLOCK", 64 << 20),
    ("TasksMax", 64),
    ("MemoryMax", 256 << 20),
    ("MemoryHigh", 256 << 20),
    ("TimeoutStartSec", 30),
];

/// Whether a setting for every service leaves Kiln's their work.
pub(super) fn leaves(key: &str, value: &str) -> bool {
    let listed = HARMLESS.contains(&key) || HARMLESS_FAMILIES.iter().any(|f| key.starts_with(f));
    // Of two limits, a soft and a hard one, each counts.
    let part = |part: &str, least: u64| {
        // A share of what the machine has: a tenth is enough.
        let share = part.strip_suffix('%').and_then(|n| n.parse::<u64>().ok());
        part == "infinity"
            || share.or_else(|| number(part)).is_some_and(|n| n >= if share.is_some() { 10 } else { least })
    };
    let enough = |least: u64| value.split(':').all(|p| part(p.trim(), least));
    let whole = key.starts_with("Limit") && enough(u64::MAX);
    listed || whole || key.ends_with("Accounting") || ENOUGH.iter().any(|(k, least)| *k == key && enough(*least))
}

/// A number with systemd's suffixes of sizes.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match &text[digits..] {
        "" | "B" | "s" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(1 << unit)
}

/// Fails where the image would keep Kiln's units, or their ties to the confined ones, from taking effect.
pub fn check(image: &dyn Image) -> Result<(), BakeError> {
    let mut seen = BTreeSet::new();
    for dir in LOAD_PATH {
        let Some(real) = follow(image, dir)? else { continue };
        if !seen.insert(real.clone()) || image.find(&real)?.is_none_or(|f| f.kind != Kind::Dir) {
            continue;
        }
        for name in image.list(&real)? {
            let path = format!("{real}/{name}");
            let kiln = matches!(name.as_str(), LOAD_UNIT | AGENT_UNIT);
            if kiln && real != UNITS {
                return Err(BakeError::Override(path));
            }
            if NEEDED.contains(&name.as_str()) && masked(image, &path)? {
                return Err(BakeError::Masked(path));
            }
            // What leads to one of Kiln's units is another name of it, whose drop-ins are its own.
            if !kiln && alias(image, &path)? {
                return Err(BakeError::Override(path));
            }
            if let Some(at) = mounted(&name).filter(|at| covers(at)) {
                return Err(cover(&path, &at));
            }
            against(image, &path)?;
            match name.rsplit_once('.') {
                Some((LOAD_UNIT | AGENT_UNIT, "wants" | "requires" | "upholds")) if own_links(image, &path)? => {
                    return Err(BakeError::Override(path));
                }
                Some((unit, "d")) => drop_ins(image, &path, unit, real == UNITS)?,
                Some((_, "wants" | "requires" | "upholds")) if real != UNITS => links(image, &path)?,
                _ => {}
            }
        }
    }
    fstab(image)
}

/// A unit or drop-in by which another unit would stop Kiln's, or its start be dropped: one that conflicts with it, passes its
/// own end on to it, or is to be there before it and yet after what waits for it (systemd breaks such a ring by dropping one).
fn against(image: &dyn Image, path: &str) -> Result<(), BakeError> {
    if path.rsplit('/').next().is_some_and(|n| matches!(n, LOAD_UNIT | AGENT_UNIT)) {
        return Ok(());
    }
    let Some(real) = follow(image, path)? else { return Ok(()) };
    let text = match image.find(&real)? {
        Some(f) if f.kind == Kind::File && f.len <= MAX_UNIT => image.read(&real)?,
        _ => return Ok(()),
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let early = settings(&text).any(|(k, v)| k == "DefaultDependencies" && matches!(&*v, "no" | "false" | "off" | "0"));
    for (key, value) in settings(&text) {
        let ours = value.split_whitespace().any(|u| matches!(u.trim_matches(['"', '\'']), LOAD_UNIT | AGENT_UNIT));
        let harms = match key.as_str() {
            "Conflicts" | "PropagatesStopTo" => true,
            "Before" => !early,
            _ => false,
        };
        if ours && harms {
            let what = format!("`{key}={value}` keeps Kiln's unit from being started, or ends it; remove it");
            return Err(BakeError::Content { path: path.to_owned(), what });
        }
    }
    Ok(())
}

/// Whether a folder of what one of Kiln's units wants or requires has anything in it.
fn own_links(image: &dyn Image, path: &str) -> Result<bool, BakeError> {
    let Some(real) = follow(image, path)? else { return Ok(false) };
    Ok(image.find(&real)?.is_some_and(|f| f.kind == Kind::Dir) && !image.list(&real)?.is_empty())
}

/// Whether a unit file is a link to one of Kiln's units.
fn alias(image: &dyn Image, path: &str) -> Result<bool, BakeError> {
    Ok(match image.find(path)? {
        Some(f) if f.kind == Kind::Link => {
            let target = image.link_target(path)?;
            matches!(target.rsplit('/').next(), Some(LOAD_UNIT | AGENT_UNIT))
        }
        _ => false,
    })
}

/// Where a mount unit mounts: its name says so (systemd-escape(1)).
fn mounted(name: &str) -> Option<String> {
    let name = name.strip_suffix(".mount").or_else(|| name.strip_suffix(".automount"))?;
    let mut out = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let code = tail.strip_prefix(b"x").and_then(|t| std::str::from_utf8(t.get(..2)?).ok());
        let code = code.filter(|_| *byte == b'\\').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.unwrap_or(if *byte == b'-' { b'/' } else { *byte }));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// Whether what is mounted there hides what a bake wrote. /usr as a whole may be a file system of its own.
fn covers(at: &str) -> bool {
    let parts: Vec<&str> = at.split('/').filter(|p| !matches!(*p, "" | ".")).collect();
    let at = parts.join("/");
    let at = if at == "lib" || at.starts_with("lib/") { format!("usr/{at}") } else { at };
    let within = |a: &str, b: &str| a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
    at != "usr" && !at.is_empty() && COVERED.iter().any(|path| within(path, &at) || within(&at, path) && *path != UNITS)
}

fn cover(path: &str, at: &str) -> BakeError {
    let what = format!("it mounts a file system on /{}, which hides Kiln's files there", at.trim_start_matches('/'));
    BakeError::Content { path: path.to_owned(), what }
}

/// Mounts of fstab(5).
fn fstab(image: &dyn Image) -> Result<(), BakeError> {
    let Some(real) = follow(image, "etc/fstab")? else { return Ok(()) };
    if image.find(&real)?.is_none_or(|f| f.kind != Kind::File) {
        return Ok(());
    }
    for line in String::from_utf8_lossy(&image.read(&real)?).lines().filter(|l| !l.trim_start().starts_with('#')) {
        // Blanks in a path are written as octal numbers.
        let at = line.split_ascii_whitespace().nth(1).unwrap_or_default().replace("\\040", " ").replace("\\134", "\\");
        if covers(&at) {
            return Err(cover(&real, &at));
        }
    }
    Ok(())
}

/// Drop-ins of Kiln's own units, by name, prefix or type; and of other units those that take our drop-in's name.
fn drop_ins(image: &dyn Image, path: &str, unit: &str, ours: bool) -> Result<(), BakeError> {
    let Some(real) = follow(image, path)? else { return Ok(()) };
    if image.find(&real)?.is_none_or(|f| f.kind != Kind::Dir) {
        return Ok(());
    }
    let names = image.list(&real)?;
    if image.find(&real)?.is_some_and(|f| f.kind == Kind::Dir) {
        names.iter().filter(|n| n.ends_with(".conf")).try_for_each(|n| against(image, &format!("{real}/{n}")))?;
    }
    // In our own place a bake removes or replaces it.
    if !ours && names.iter().any(|n| n == DROP_IN) {
        return Err(BakeError::Override(format!("{path}/{DROP_IN}")));
    }
    let named = [LOAD_UNIT, AGENT_UNIT].iter().any(|own| match unit.strip_suffix("-.service") {
        Some(prefix) => own.starts_with(&format!("{prefix}-")),
        None => unit == *own,
    });
    if named {
        return Err(BakeError::Override(path.to_owned()));
    }
    if unit == "service" {
        for name in names.iter().filter(|n| n.ends_with(".conf")) {
            harmless(image, &format!("{path}/{name}"))?;
        }
    }
    Ok(())
}

/// A drop-in for every service is one for Kiln's.
fn harmless(image: &dyn Image, path: &str) -> Result<(), BakeError> {
    let Some(real) = follow(image, path)? else { return Ok(()) };
    if image.find(&real)?.is_none_or(|f| f.kind != Kind::File) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&image.read(&real)?).into_owned();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', ';', '['])) {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let (key, value) = (key.trim(), value.trim());
        if !leaves(key, value) {
            let what = format!(
                "`{key}` is set for every service, and so for Kiln's, which it may keep from loading the policy; set it \
                 for the services that need it"
            );
            return Err(BakeError::Content { path: path.to_owned(), what });
        }
    }
    Ok(())
}

/// What stands in a folder of wanted units for one of Kiln's must lead to it.
fn links(image: &dyn Image, path: &str) -> Result<(), BakeError> {
    let Some(real) = follow(image, path)? else { return Ok(()) };
    if image.find(&real)?.is_none_or(|f| f.kind != Kind::Dir) {
        return Ok(());
    }
    for name in image.list(&real)?.iter().filter(|n| matches!(n.as_str(), LOAD_UNIT | AGENT_UNIT)) {
        let at = format!("{real}/{name}");
        let leads = match image.find(&at)? {
            Some(f) if f.kind == Kind::Link => image.link_target(&at)?.rsplit('/').next() == Some(name),
            _ => false,
        };
        if !leads {
            return Err(BakeError::Masked(at));
        }
    }
    Ok(())
}

/// Whether a unit file is a link to nothing, or empty: systemd does not start it.
fn masked(image: &dyn Image, path: &str) -> Result<bool, BakeError> {
    Ok(match image.find(path)? {
        Some(f) if f.kind == Kind::Link => match image.link_target(path)?.as_str() {
            "/dev/null" => true,
            _ => match follow(image, path)? {
                Some(real) => real == "dev/null" || image.find(&real)?.is_some_and(|f| f.len == 0),
                None => true,
            },
        },
        Some(f) => f.kind == Kind::File && f.len == 0,
        None => false,
    })
}

/// Where a path leads within the image, as a machine that runs it would go; none where that is not there.
pub fn follow(image: &dyn Image, path: &str) -> Result<Option<String>, BakeError> {
    let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let (mut at, mut links) = (Vec::<String>::new(), 0);
    while let Some(part) = todo.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                at.pop();
                continue;
            }
            _ => at.push(part),
        }
        let here = at.join("/");
        match image.find(&here) {
            Ok(None) => return Ok(None),
            Ok(Some(f)) if f.kind == Kind::Link => {
                links += 1;
                if links > 40 {
                    return Ok(None);
                }
                let target = image.link_target(&here)?;
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                todo.extend(target.split('/').rev().map(str::to_owned));
            }
            Ok(Some(_)) => {}
            Err(BakeError::InTheWay { .. }) => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    Ok(Some(at.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bake::RootDir;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn said(make: impl Fn(&Path)) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/lib/systemd/system")).unwrap();
        symlink("usr/lib", dir.path().join("lib")).unwrap();
        make(dir.path());
        check(&RootDir::open(dir.path()).unwrap()).err().map(|e| e.to_string())
    }

    fn put(root: &Path, path: &str, text: &str) {
        let at = root.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => symlink(target, at).unwrap(),
            None => fs::write(at, text).unwrap(),
        }
    }

    #[test]
    fn what_stands_before_kilns_units_is_refused_in_every_place() {
        for dir in LOAD_PATH.iter().filter(|d| **d != UNITS && **d != "lib/systemd/system") {
            for name in [
                "kiln-load.service",
                "kiln-load.service.d/x.conf",
                "kiln-.service.d/x.conf",
                "kiln-agent.service.d/x.conf",
                "nginx.service.d/50-kiln.conf",
                "service.d/50-kiln.conf",
                "app-.service.d/50-kiln.conf",
            ] {
                let path = format!("{dir}/{name}");
                assert!(said(|root| put(root, &path, "[Unit]\n")).unwrap().contains("override"), "{path}");
            }
            for name in ["sysinit.target", "sys-fs-bpf.mount", "sysinit.target.wants/kiln-load.service"] {
                let path = format!("{dir}/{name}");
                assert!(said(|root| put(root, &path, "-> /dev/null")).unwrap().contains("mask"), "{path}");
                assert!(said(|root| put(root, &path, "")).unwrap().contains("mask"), "{path}");
            }
        }
        for (path, text) in [
            ("usr/lib/systemd/system/kiln-load.service.d/x.conf", ""),
            ("usr/lib/systemd/system/service.d/x.conf", "[Unit]\nConditionPathExists=/none\n"),
            ("etc/systemd/system/service.d/x.conf", "[Service]\n  ExecStart=\n"),
            ("usr/lib/systemd/system/service.d/x.conf", "[Service]\nMemoryMax=1M\n"),
            ("usr/lib/systemd/system/service.d/x.conf", "[Service]\nLimitNOFILE=3:infinity\n"),
            ("usr/lib/systemd/system/service.d/x.conf", "[Service]\nTimeoutStartSec=1ms\n"),
            ("usr/lib/systemd/system/service.d/x.conf", "[Service]\nLogNamespace=none\n"),
            ("etc/systemd/system/x.service", "-> /usr/lib/systemd/system/kiln-load.service"),
            ("usr/lib/systemd/system/x.service", "-> kiln-agent.service"),
            ("etc/systemd/system/var.mount", "-> /dev/null"),
            ("etc/systemd/system/usr-lib-kiln.mount", "[Mount]\n"),
            ("etc/systemd/system/usr-lib-kiln-trust.mount", "[Mount]\n"),
            ("usr/lib/systemd/system/usr-lib-\\x6biln.automount", ""),
            ("etc/systemd/system/lib-systemd.mount", "[Mount]\n"),
            ("etc/fstab", "/evil /usr/lib/kiln none bind 0 0\n"),
            ("etc/fstab", "# x\nLABEL=a //usr/./lib/ ext4\n"),
            ("opt/units/kiln-load.service", ""),
            ("usr/lib/systemd/system/kiln-load.service.requires/none.service", "-> /none"),
            ("etc/systemd/system/kiln-agent.service.wants/x.service", "-> ../x.service"),
            ("usr/lib/systemd/system/x.service", "[Unit]\nConflicts=a.service \\\n  kiln-load.service\n"),
            ("usr/lib/systemd/system/x.target", "[Unit]\nBefore=kiln-load.service\n"),
            ("etc/systemd/system/x.service.d/y.conf", "[Unit]\nPropagatesStopTo=kiln-agent.service\n"),
            ("etc/systemd/system/unit.d/y.conf", "[Unit]\nConflicts=kiln-load.service\n"),
        ] {
            let linked = |root: &Path| {
                put(root, path, text);
                if path.starts_with("opt") {
                    put(root, "etc/systemd/system", "-> ../../opt/units");
                }
            };
            assert!(said(linked).is_some(), "{path}");
        }
    }

    #[test]
    fn what_images_have_is_taken() {
        let ordinary = |root: &Path| {
            put(root, "usr/lib/systemd/system/sysinit.target", "[Unit]\n");
            put(
                root,
                "usr/lib/systemd/system/service.d/10-abort.conf",
                "# Fedora\n[Service]\nTimeoutStopFailureMode=abort\n",
            );
            put(
                root,
                "etc/systemd/system/service.d/20-limits.conf",
                "[Service]\nLimitNOFILE=1024:524288\nCPUAccounting=yes\nTasksMax=infinity\n",
            );
            put(
                root,
                "etc/fstab",
                "LABEL=u /usr ext4 ro 0 1\nbpf /sys/fs/bpf bpf\n/x /usr/lib/systemd/system-x none bind\n",
            );
            put(root, "usr/lib/systemd/system/usr-local.mount", "[Mount]\n");
            put(root, "usr/lib/systemd/system/dbus-org.x.service", "-> y.service");
            put(root, "etc/systemd/system/nginx.service.d/limits.conf", "[Service]\nLimitNOFILE=9\n");
            put(root, "etc/systemd/system/cron.service", "-> /dev/null");
            put(
                root,
                "etc/systemd/system/multi-user.target.wants/kiln-agent.service",
                "-> /usr/lib/systemd/system/kiln-agent.service",
            );
            put(root, "var/lib/local/lib/x", "");
            put(
                root,
                "etc/systemd/system/early.service",
                "[Unit]\nDefaultDependencies=no\nBefore=kiln-load.service\n# Conflicts=kiln-load.service\n",
            );
            put(
                root,
                "etc/systemd/system/late.service",
                "[Unit]\nAfter=kiln-load.service\nRequires=kiln-load.service\n",
            );
            put(root, "usr/local", "-> ../var/lib/local");
        };
        assert_eq!(said(ordinary), None);
    }

    /// systemd itself drops the load, or does not find what it requires, where Kiln refuses.
    #[test]
    fn systemd_does_not_start_the_load_then() {
        for (path, text, said_by_it) in [
            (
                "x.service",
                "[Unit]\nBefore=kiln-load.service\nAfter=sysinit.target\n",
                // Which job it then deletes hangs on the order in which it happens to look.
                "Found ordering cycle",
            ),
            ("kiln-load.service.requires/x.service", "-> ../none.service", "Unit x.service not found"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let units = |name: &str| format!("{UNITS}/{name}");
            put(dir.path(), "usr/lib/kiln/kiln-agent", "#!/bin/sh\n");
            put(dir.path(), &units("sysinit.target"), "[Unit]\nDescription=x\n");
            let load = "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n[Service]\nExecStart=/usr/lib/kiln/kiln-agent\n";
            put(dir.path(), &units("sysinit.target.wants/kiln-load.service"), "-> ../kiln-load.service");
            put(dir.path(), &units("sysinit.target.wants/x.service"), "-> ../x.service");
            put(
                dir.path(),
                &units(path),
                &format!(
                    "{text}{}",
                    if text.starts_with('[') { "[Service]\nExecStart=/usr/lib/kiln/kiln-agent\n" } else { "" }
                ),
            );
            assert!(check(&RootDir::open(dir.path()).unwrap()).is_err(), "{path}");
            put(dir.path(), &units("kiln-load.service"), load);
            let unit = if path == "x.service" { "sysinit.target" } else { "kiln-load.service" };
            let mut run = std::process::Command::new("systemd-analyze");
            let Ok(run) = run.arg(format!("--root={}", dir.path().display())).args(["verify", unit]).output() else {
                return;
            };
            let heard = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
            assert!(heard.contains(said_by_it) || heard.contains("none.service not found"), "{path}: {heard}");
        }
    }

    /// systemd itself says where it looks.
    #[test]
    fn the_load_path_is_systemds() {
        let Ok(run) = std::process::Command::new("systemd-analyze").args(["--system", "unit-paths"]).output() else {
            return;
        };
        for path in String::from_utf8_lossy(&run.stdout).lines() {
            assert!(LOAD_PATH.contains(&path.trim_start_matches('/')), "{path}");
        }
    }
}
