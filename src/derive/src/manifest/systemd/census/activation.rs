//! Services that something else activates: sockets, timers, paths, devices, and names on the system bus.

use super::walk::{Walk, Way};
use crate::manifest::root::RootError;
use crate::manifest::systemd::parse::parse;
use crate::manifest::systemd::unit::Unit;

/// Where the bus looks for activatable names (dbus-daemon(1), "servicedir").
const BUS: [&str; 4] = [
    "/etc/dbus-1/system-services",
    "/usr/local/share/dbus-1/system-services",
    "/usr/share/dbus-1/system-services",
    "/lib/dbus-1/system-services",
];
/// Where udev's rules are (udev(7)).
const RULES: [&str; 4] =
    ["/etc/udev/rules.d", "/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"];
/// Bytes of one file.
const MAX_FILE: u64 = 1 << 20;

/// The service that a socket, timer or path unit starts, and how.
pub(super) fn activated(unit: &Unit) -> Option<(String, String)> {
    let (stem, suffix) = unit.name.rsplit_once('.')?;
    let namesake = || format!("{stem}.service");
    let named = |section: &str, key: &str| unit.last(section, key).map_or_else(namesake, |e| e.value.clone());
    match suffix {
        "socket" if matches!(unit.flag("Socket", "Accept"), Some((true, _))) => {
            let prefix = stem.split('@').next().unwrap_or(stem);
            Some((format!("{prefix}@.service"), format!("{} starts an instance for each connection", unit.name)))
        }
        "socket" => Some((named("Socket", "Service"), format!("{} starts it", unit.name))),
        "timer" => Some((named("Timer", "Unit"), format!("{} starts it", unit.name))),
        "path" => Some((named("Path", "Unit"), format!("{} starts it", unit.name))),
        _ => None,
    }
}

pub(super) fn seeds(walk: &mut Walk<'_>) -> Result<(), RootError> {
    let mut known = Vec::new();
    for folder in BUS {
        for file in walk.entries(folder).into_iter().filter(|f| f.ends_with(".service")) {
            // The first folder of a name counts; on a merged /usr the last is the one before it.
            if !known.contains(&file) {
                bus_name(walk, &format!("{folder}/{file}"));
                known.push(file);
            }
        }
    }
    let mut known = Vec::new();
    for folder in RULES {
        for file in walk.entries(folder).into_iter().filter(|f| f.ends_with(".rules")) {
            if known.contains(&file) {
                continue;
            }
            let path = format!("{folder}/{file}");
            known.push(file);
            if let Ok(text) = walk.root.text(&path, MAX_FILE) {
                rules(walk, &path, &text);
            }
        }
    }
    Ok(())
}

fn bus_name(walk: &mut Walk<'_>, path: &str) {
    let Ok(text) = walk.root.text(path, MAX_FILE) else { return };
    let parsed = parse(path, &text);
    let value = |key: &str| parsed.entries.iter().rev().find(|e| e.section == "D-BUS Service" && e.key == key);
    let Some(name) = value("Name") else { return };
    if let Some(unit) = value("SystemdService") {
        walk.seed(unit.value.clone(), format!("D-Bus starts it for {} ({path})", name.value));
    } else if let Some(exec) = value("Exec").filter(|e| !e.value.ends_with("/false")) {
        let reason = format!("dbus-daemon itself starts `{}` for {}, within dbus.service", exec.value, name.value);
        walk.unnamed(path, Way::Bus, reason);
    }
}

/// `ENV{SYSTEMD_WANTS}+="a.service b@$name.service"` (systemd.device(5)).
fn rules(walk: &mut Walk<'_>, path: &str, text: &str) {
    for line in text.lines().filter(|l| !l.trim_start().starts_with('#')) {
        for (at, _) in line.match_indices("{SYSTEMD_WANTS}") {
            let tail = &line[at + "{SYSTEMD_WANTS}".len()..];
            let Some(value) = tail.trim_start_matches(['+', ':']).strip_prefix('=') else { continue };
            let Some(value) = value.strip_prefix('"').and_then(|v| v.split('"').next()) else { continue };
            for word in value.split_whitespace() {
                let cause = format!("a device starts it ({path})");
                match (word.contains(['$', '%']), word.split_once('@')) {
                    (false, _) => walk.seed(word.to_owned(), cause),
                    (true, Some((prefix, rest))) if !prefix.contains(['$', '%']) => {
                        let suffix = rest.rsplit_once('.').map_or("service", |(_, s)| s);
                        walk.seed(format!("{prefix}@.{suffix}"), cause);
                    }
                    _ => walk.unnamed(path, Way::Device, format!("a device starts `{word}`")),
                }
            }
        }
    }
}
