//! The configuration of systemd's manager itself (systemd-system.conf(5)): what it sets for every service is set for
//! Kiln's, and its own environment and rights decide which units it finds and what they may do.

use super::BakeError;
use super::image::{Image, Kind};
use super::settings::settings;
use super::shadow::{follow, leaves};

const FOLDERS: [&str; 4] = ["etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"];
/// What the agent must be able to have.
const CAPABILITIES: [&str; 4] = ["cap_sys_admin", "cap_sys_resource", "cap_sys_ptrace", "cap_dac_override"];

/// Fails where the manager would not find Kiln's units, or not let them load the policy.
pub(super) fn check(image: &dyn Image) -> Result<(), BakeError> {
    for folder in FOLDERS {
        file(image, &format!("{folder}/system.conf"))?;
        let Some(real) = follow(image, &format!("{folder}/system.conf.d"))? else { continue };
        if image.find(&real)?.is_none_or(|f| f.kind != Kind::Dir) {
            continue;
        }
        for name in image.list(&real)?.iter().filter(|n| n.ends_with(".conf")) {
            file(image, &format!("{real}/{name}"))?;
        }
    }
    Ok(())
}

fn file(image: &dyn Image, path: &str) -> Result<(), BakeError> {
    let Some(real) = follow(image, path)? else { return Ok(()) };
    if image.find(&real)?.is_none_or(|f| f.kind != Kind::File) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&image.read(&real)?).into_owned();
    match settings(&text).find(|(key, value)| disables(key, value)) {
        None => Ok(()),
        Some((key, value)) => {
            let what = format!(
                "`{key}={value}` holds for all that systemd starts, and may keep Kiln from loading the policy; remove it"
            );
            Err(BakeError::Content { path: path.to_owned(), what })
        }
    }
}

fn disables(key: &str, value: &str) -> bool {
    match key {
        "CapabilityBoundingSet" => {
            let (takes, list) = value.strip_prefix('~').map_or((false, value), |list| (true, list));
            let named = |c: &str| list.split_whitespace().any(|w| w.eq_ignore_ascii_case(c));
            !value.is_empty() && CAPABILITIES.iter().any(|c| named(c) == takes)
        }
        "SystemCallArchitectures" => {
            !value.is_empty() && !value.split_whitespace().any(|w| matches!(w, "native" | "x86-64"))
        }
        "ManagerEnvironment" => value.split_whitespace().any(|w| of_manager(w.trim_matches(['"', '\'']))),
        _ => match key.strip_prefix("Default") {
            // Kiln's units say how long they may take themselves.
            Some(each) => {
                (each.starts_with("Limit") || each == "TasksMax") && !value.is_empty() && !leaves(each, value)
            }
            None => false,
        },
    }
}

/// Whether an assignment tells systemd where its units and generators are, or its loader what else to load.
pub(super) fn of_manager(assignment: &str) -> bool {
    let key = assignment.split('=').next().unwrap_or_default();
    let own =
        ["SYSTEMD_UNIT_PATH", "SYSTEMD_GENERATOR_PATH", "SYSTEMD_ENVIRONMENT_GENERATOR_PATH", "SYSTEMD_PROC_CMDLINE"];
    own.contains(&key) || key.starts_with("LD_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_for_every_service_leaves_kiln_its_work() {
        let bad = |text: &str| settings(text).any(|(k, v)| disables(&k, &v));
        for text in [
            "[Manager]\nCapabilityBoundingSet=~CAP_SYS_ADMIN\n",
            "[Manager]\nCapabilityBoundingSet=CAP_CHOWN\n",
            "[Manager]\n  DefaultLimitNOFILE = 3\n",
            "[Manager]\nDefaultTasksMax=1\n",
            "[Manager]\nDefaultLimitAS=1M\n",
            "\u{feff}[Manager]\nDefaultLimitNOFILE=\\\n# x\n3:infinity\n",
            "[Manager]\nSystemCallArchitectures=x86\n",
            "[Manager]\nManagerEnvironment=A=b SYSTEMD_UNIT_PATH=/opt/units:\n",
            "[Manager]\nManagerEnvironment=\"LD_PRELOAD=/opt/x.so\"\n",
        ] {
            assert!(bad(text), "{text}");
        }
        for text in [
            "[Manager]\n#CapabilityBoundingSet=CAP_CHOWN\nCapabilityBoundingSet=\n",
            "[Manager]\nCapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_RAWIO\n",
            "[Manager]\nDefaultLimitNOFILE=1024:524288\nDefaultTasksMax=15%\n",
            "[Manager]\nDefaultLimitCORE=0\nDefaultTimeoutStartSec=1min 30s\nDefaultLimitMEMLOCK=infinity\n",
            "[Manager]\nSystemCallArchitectures=native\nManagerEnvironment=SYSTEMD_LOG_LEVEL=debug\n",
            "[Manager]\nDefaultTasksMax=\nLogLevel=info\nRuntimeWatchdogSec=off\n",
        ] {
            assert!(!bad(text), "{text}");
        }
    }

    /// systemd itself looks where its environment says.
    #[test]
    fn systemd_takes_its_units_from_where_its_environment_says() {
        let mut run = std::process::Command::new("systemd-analyze");
        if let Ok(run) = run.args(["--system", "unit-paths"]).env("SYSTEMD_UNIT_PATH", "/opt/units").output() {
            assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "/opt/units");
        }
    }
}
