//! Services of the system itself: what boots, logs, names devices and lets people in. `kiln derive` leaves them alone
//! unless it is asked: a policy for them is not a matter of one image. The unit and its programs tell, so that an image
//! without a package database is judged like any other.

use super::environment::Environment;
use super::exec::commands;
use super::unit::Unit;
use crate::manifest::root::Root;
use crate::manifest::service::find;

/// Programs beside `systemd-*` that come with systemd; and those of `systemd-*` that run what others wrote.
const SYSTEMD: [&str; 10] = [
    "systemd",
    "systemctl",
    "journalctl",
    "loginctl",
    "udevadm",
    "bootctl",
    "networkctl",
    "resolvectl",
    "coredumpctl",
    "varlinkctl",
];
const RUNS_OTHERS: [&str; 6] = [
    "systemd-run",
    "systemd-cat",
    "systemd-nspawn",
    "systemd-socket-activate",
    "systemd-socket-proxyd",
    "systemd-inhibit",
];

/// What other programs of the system are for.
const PROGRAMS: [(&str, &[&str]); 7] = [
    ("the message bus", &["dbus-daemon", "dbus-broker", "dbus-broker-launch"]),
    ("a login", &["agetty", "getty", "mingetty", "login", "sulogin", "fgetty", "seatd", "elogind", "greetd"]),
    ("remote login", &["sshd", "dropbear", "sshd-session", "in.telnetd"]),
    (
        "who may do what",
        &["polkitd", "accounts-daemon", "sssd", "nscd", "nslcd", "rtkit-daemon", "auditd", "augenrules"],
    ),
    (
        "devices, disks and modules",
        &[
            "modprobe",
            "kmod",
            "mount",
            "umount",
            "swapon",
            "swapoff",
            "fsck",
            "lvm",
            "vgchange",
            "lvmpolld",
            "dmeventd",
            "dmsetup",
            "mdadm",
            "mdmon",
            "multipathd",
            "multipath",
            "cryptsetup",
            "zfs",
            "zpool",
            "udisksd",
            "fstrim",
            "e2scrub",
            "e2scrub_all",
            "e2scrub_fail",
            "upowerd",
            "smartd",
            "fwupd",
            "setupcon",
            "plymouth",
            "plymouthd",
            "irqbalance",
            "thermald",
            "bluetoothd",
            "ModemManager",
        ],
    ),
    (
        "how the machine is on its network",
        &[
            "NetworkManager",
            "nm-online",
            "wpa_supplicant",
            "dhclient",
            "dhcpcd",
            "ifup",
            "ifdown",
            "ip",
            "nft",
            "iptables",
            "ip6tables",
            "iptables-restore",
            "netplan",
            "connmand",
            "iwd",
            "firewalld",
            "ufw",
        ],
    ),
    ("what starts other programs by a clock", &["cron", "crond", "anacron", "atd", "incrond", "fcron", "run-parts"]),
];

/// Programs that keep the system up to date, by the folder or the name.
const UPKEEP: [&str; 18] = [
    "apt",
    "apt-get",
    "apt.systemd.daily",
    "apt-helper",
    "dpkg",
    "dpkg-db-backup",
    "unattended-upgrade",
    "unattended-upgrade-shutdown",
    "dnf",
    "dnf-automatic",
    "rpm",
    "yum",
    "zypper",
    "packagekitd",
    "logrotate",
    "mandb",
    "updatedb",
    "update-ca-certificates",
];

/// Targets that stand for a machine that is only coming up.
const EARLY: [&str; 9] = [
    "sysinit.target",
    "local-fs.target",
    "local-fs-pre.target",
    "swap.target",
    "cryptsetup.target",
    "cryptsetup-pre.target",
    "network-pre.target",
    "initrd.target",
    "initrd-root-fs.target",
];

/// Why a service belongs to the system itself; `None` for one that does not.
pub fn reason(root: &Root, unit: &Unit) -> Option<String> {
    let programs = programs(root, unit);
    for path in &programs {
        let name = path.rsplit('/').next().unwrap_or_default();
        // Without a merged /usr they are one level up.
        let folder = path.strip_prefix("/usr").unwrap_or(path);
        let folder = &folder[..folder.len() - name.len()];
        let named = name.starts_with("systemd-") && matches!(folder, "/bin/" | "/sbin/") || SYSTEMD.contains(&name);
        if (named || folder.starts_with("/lib/systemd/")) && !RUNS_OTHERS.contains(&name) {
            return Some("runs programs of systemd".to_owned());
        }
        if let Some((what, _)) = PROGRAMS.iter().find(|(_, names)| names.contains(&name)) {
            return Some(format!("is {what}"));
        }
        if UPKEEP.contains(&name) || folder.starts_with("/lib/apt/") || folder.starts_with("/libexec/dpkg/") {
            return Some("keeps the system's software in order".to_owned());
        }
    }
    if unit.last("Service", "StandardInput").is_some_and(|e| e.value.starts_with("tty")) {
        return Some("is a console".to_owned());
    }
    if unit.last("Service", "PAMName").is_some_and(|e| matches!(e.value.as_str(), "login" | "systemd-user")) {
        return Some("is a login".to_owned());
    }
    let early = |key: &str, section: &str| {
        unit.list(section, key).iter().flat_map(|e| e.value.split_whitespace()).any(|t| EARLY.contains(&t))
    };
    let default = unit.flag("Unit", "DefaultDependencies");
    if matches!(default, Some((false, _)))
        && (early("Before", "Unit") || early("WantedBy", "Install") || early("RequiredBy", "Install"))
    {
        return Some("runs before the system is up".to_owned());
    }
    None
}

/// The programs of ExecStart=, links resolved; wrappers such as `env` are what they are.
fn programs(root: &Root, unit: &Unit) -> Vec<String> {
    // The program of a template is the same for any instance.
    let name = unit.name.replacen("@.", "@0.", 1);
    let lines = unit
        .list("Service", "ExecStart")
        .into_iter()
        .filter_map(|e| commands(&e.value, &name, &Environment::default()).ok());
    let mut out = Vec::new();
    for line in lines.flatten() {
        // busybox, kmod and systemctl go by several names: the one that is written counts beside the real one.
        out.extend(find(root, &line.program));
        let written = root.resolve(line.program.rsplit_once('/').map_or("/", |(d, _)| d)).ok();
        let name = line.program.rsplit('/').next().unwrap_or_default();
        out.extend(written.map(|d| format!("{}/{name}", d.path.trim_end_matches('/'))));
    }
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    #[test]
    fn the_unit_tells_what_is_the_systems() {
        for (text, why) in [
            ("[Service]\nExecStart=/usr/lib/systemd/systemd-journald\n", Some("systemd")),
            ("[Service]\nExecStart=!!/lib/systemd/systemd-logind\n", Some("systemd")),
            ("[Service]\nExecStart=-udevadm trigger\n", Some("systemd")),
            ("[Service]\nExecStart=@/usr/bin/dbus-daemon @dbus-daemon --system\n", Some("message bus")),
            ("[Service]\nExecStart=-/sbin/agetty -o x - $TERM\nStandardInput=tty\n", Some("login")),
            ("[Service]\nExecStart=-/bin/sh\nStandardInput=tty-force\n", Some("console")),
            ("[Service]\nExecStart=/usr/sbin/sshd -D\n", Some("remote login")),
            ("[Service]\nExecStart=/usr/lib/apt/apt.systemd.daily update\n", Some("software")),
            (
                "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n[Service]\nExecStart=/opt/early\n",
                Some("before"),
            ),
            ("[Unit]\nDefaultDependencies=no\nBefore=shutdown.target\n[Service]\nExecStart=/opt/app\n", None),
            ("[Service]\nExecStart=/usr/sbin/nginx\n", None),
            ("[Service]\nExecStart=/usr/bin/systemd-cat /opt/app\n", None),
            ("[Service]\nExecStart=/usr/lib/systemd/systemd-socket-proxyd 127.0.0.1:80\n", None),
            ("[Service]\nExecStart=/opt/systemd-app/bin/systemd-app\n", None),
        ] {
            let (_dir, root) = image(&[
                ("usr/lib/systemd/system/u.service", text),
                ("usr/bin/udevadm", ""),
                ("usr/sbin/agetty", ""),
                ("sbin", "-> usr/sbin"),
                ("lib", "-> usr/lib"),
            ]);
            let unit = Unit::load(&root, "u.service", &mut Vec::new()).unwrap();
            let found = reason(&root, &unit);
            assert_eq!(found.is_some(), why.is_some(), "{text}: {found:?}");
            assert!(why.is_none_or(|w| found.as_deref().unwrap_or_default().contains(w)), "{text}: {found:?}");
        }
    }
}
