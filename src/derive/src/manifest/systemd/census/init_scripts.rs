//! /etc/init.d: systemd-sysv-generator(8) makes a service of each script that has no unit of its name.

use super::walk::{Walk, Way};
use crate::manifest::systemd::name::is_unit_name;

/// Run levels that systemd-sysv-generator reads.
const LEVELS: [&str; 4] = ["2", "3", "4", "5"];

pub(super) fn seeds(walk: &mut Walk<'_>) {
    if !super::generators::has(walk, "systemd-sysv-generator") {
        return;
    }
    for script in walk.entries("/etc/init.d") {
        let name = format!("{}.service", script.strip_suffix(".sh").unwrap_or(&script));
        if script == "README" || !is_unit_name(&name) || walk.files.contains(&name) {
            continue;
        }
        let starts = |link: &String| {
            link.strip_prefix('S').is_some_and(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()) == script)
        };
        let level = LEVELS.iter().find(|l| walk.entries(&format!("/etc/rc{l}.d")).iter().any(starts));
        if let Some(level) = level {
            let reason = format!("systemd-sysv-generator makes it of /etc/init.d/{script} (/etc/rc{level}.d)");
            walk.unnamed(name, Way::InitScript, reason);
        }
    }
}
