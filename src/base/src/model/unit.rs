//! How systemd names the cgroup of a unit.

/// Controllers as systemd knows them (cgroup_controller_to_string() of systemd 252 to 258): a unit that would have the
/// name of one of their files gets another.
const CONTROLLERS: [&str; 13] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "io",
    "blkio",
    "memory",
    "devices",
    "pids",
    "bpf-firewall",
    "bpf-devices",
    "bpf-foreign",
    "bpf-socket-bind",
    "bpf-restrict-network-interfaces",
];

/// Whether systemd puts a `_` before the name (cg_escape()). Newer releases do it for `memory.x.service` too, older ones
/// only for `memory.service`: the compiled automaton takes a name with and without, so that both are right.
fn is_escaped(unit: &str) -> bool {
    unit.is_empty()
        || unit.starts_with(['_', '.'])
        || unit.starts_with("cgroup.")
        || matches!(unit, "notify_on_release" | "release_agent" | "tasks")
        || CONTROLLERS.iter().any(|c| unit.strip_prefix(c).is_some_and(|rest| rest.starts_with('.')))
}

/// The name of the cgroup that systemd makes for a unit: the unit's own name, `\x2d` and all, but for one `_` before
/// what could be taken for a file of the kernel's.
pub fn cgroup_name(unit: &str) -> String {
    format!("{}{unit}", if is_escaped(unit) { "_" } else { "" })
}

/// The unit of a cgroup: what [`cgroup_name`] undoes (cg_unescape()).
pub fn unit_of_cgroup(name: &str) -> &str {
    name.strip_prefix('_').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_systemd_names_them() {
        for (unit, group) in [
            ("nginx.service", "nginx.service"),
            (r"o-esc@dev-my\x2ddisk.service", r"o-esc@dev-my\x2ddisk.service"),
            ("_x.service", "__x.service"),
            (".x.service", "_.x.service"),
            ("cgroup.service", "_cgroup.service"),
            ("cgroupx.service", "cgroupx.service"),
            ("cpu.service", "_cpu.service"),
            ("memory.service", "_memory.service"),
            ("memory-hog.service", "memory-hog.service"),
            ("pids@1.service", "pids@1.service"),
        ] {
            assert_eq!(cgroup_name(unit), group);
            assert_eq!(unit_of_cgroup(group), unit);
        }
    }
}
