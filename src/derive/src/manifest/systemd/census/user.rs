//! Services of users' own managers: they run below `user@UID.service`, where unit selectors do not see them.

use super::walk::{Walk, Way};
use crate::manifest::systemd::parse::parse;

const DIRECTORIES: [&str; 4] =
    ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user", "/lib/systemd/user"];
const MAX_FILE: u64 = 1 << 20;

/// What logind starts for each user who logs in (pam_systemd(8)).
pub(super) fn seeds(walk: &mut Walk<'_>) {
    if walk.files.contains("systemd-logind.service") {
        for name in ["user@.service", "user-runtime-dir@.service"] {
            if walk.files.contains(name) {
                walk.seed(name.to_owned(), "logind starts it for each user".to_owned());
            }
        }
    }
}

pub(super) fn services(walk: &mut Walk<'_>) {
    if !walk.files.contains("user@.service") {
        return;
    }
    let mut seen = Vec::new();
    for directory in DIRECTORIES {
        for folder in walk.entries(directory) {
            if ![".wants", ".requires", ".upholds"].iter().any(|s| folder.ends_with(s)) {
                continue;
            }
            let folder = format!("{directory}/{folder}");
            for unit in walk.entries(&folder) {
                let Some(service) = started(walk, &unit).filter(|s| !seen.contains(s)) else { continue };
                // systemd's own and the users' bus are the system's.
                if !service.starts_with("systemd-") && !service.starts_with("dbus") {
                    let reason = format!(
                        "a user's manager starts it ({folder}/{unit}) within user@UID.service, where no unit selector \
                         sees it; bind its program by `subject exec`"
                    );
                    walk.unnamed(format!("user/{service}"), Way::User, reason);
                }
                seen.push(service);
            }
        }
    }
}

/// The service behind a unit of a user's manager.
fn started(walk: &Walk<'_>, unit: &str) -> Option<String> {
    let (stem, suffix) = unit.rsplit_once('.')?;
    let (section, key) = match suffix {
        "service" => return Some(unit.to_owned()),
        "socket" => ("Socket", "Service"),
        "timer" => ("Timer", "Unit"),
        "path" => ("Path", "Unit"),
        _ => return None,
    };
    let text = DIRECTORIES.iter().find_map(|d| walk.root.text(&format!("{d}/{unit}"), MAX_FILE).ok())?;
    let parsed = parse(unit, &text);
    let named = parsed.entries.iter().rev().find(|e| e.section == section && e.key == key);
    Some(named.map_or_else(|| format!("{stem}.service"), |e| e.value.clone()))
}
