use super::*;
use crate::manifest::root::tests_support::image;

fn census(files: &[(&str, &str)]) -> Census {
    let (dir, root) = image(files);
    for folder in ["usr/lib/systemd/system-generators", "etc/systemd/system-generators"] {
        for entry in std::fs::read_dir(dir.path().join(folder)).into_iter().flatten() {
            use std::os::unix::fs::PermissionsExt;
            let entry = entry.unwrap();
            // A mode set through a link to /dev/null would be the mode of this machine's /dev/null.
            if entry.file_type().unwrap().is_file() {
                std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
    read(&root).unwrap()
}

fn started(census: &Census) -> Vec<&str> {
    census.started.keys().map(String::as_str).collect()
}

const UNIT: &str = "[Service]\nExecStart=/bin/x\n";

#[test]
fn links_sockets_and_what_units_name() {
    let found = census(&[
        ("etc/systemd/system/multi-user.target.wants/web.service", "-> /usr/lib/systemd/system/web.service"),
        ("usr/lib/systemd/system/web.service", "[Unit]\nWants=helper.service a.target\n[Service]\nExecStart=/bin/x\n"),
        ("usr/lib/systemd/system/helper.service", "[Unit]\nOnFailure=alarm@%n.service\n[Service]\nExecStart=/bin/x\n"),
        ("usr/lib/systemd/system/alarm@.service", UNIT),
        ("usr/lib/systemd/system/a.target", "[Unit]\nUpholds=upheld.service\n"),
        ("usr/lib/systemd/system/upheld.service", UNIT),
        ("etc/systemd/system/a.target.upholds/kept.service", "-> ../kept.service"),
        ("etc/systemd/system/kept.service", UNIT),
        ("usr/lib/systemd/system/sockets.target.wants/log.socket", "-> ../log.socket"),
        ("usr/lib/systemd/system/log.socket", "[Socket]\nService=logger.service\n"),
        ("usr/lib/systemd/system/logger.service", UNIT),
        ("usr/lib/systemd/system/sockets.target.wants/inetd.socket", "-> ../inetd.socket"),
        ("usr/lib/systemd/system/inetd.socket", "[Socket]\nAccept=yes\n"),
        ("usr/lib/systemd/system/inetd@.service", UNIT),
        ("usr/lib/systemd/system/x.target.requires/y@z.service", "-> ../y@.service"),
        ("usr/lib/systemd/system/y@.service", "[Unit]\nRequires=sub@%i.service\n[Service]\nExecStart=/bin/x\n"),
        ("usr/lib/systemd/system/sub@.service", UNIT),
        ("usr/lib/systemd/system/timers.target.wants/day.timer", "-> ../day.timer"),
        ("usr/lib/systemd/system/day.timer", "[Timer]\nOnCalendar=daily\n"),
        ("usr/lib/systemd/system/day.service", UNIT),
        ("usr/lib/systemd/system/paths.target.wants/drop.path", "-> ../drop.path"),
        ("usr/lib/systemd/system/drop.path", "[Path]\nPathExists=/x\nUnit=taken.service\n"),
        ("usr/lib/systemd/system/taken.service", "[Install]\nAlso=extra.service\n[Service]\nExecStart=/bin/x\n"),
        ("usr/lib/systemd/system/extra.service", UNIT),
        ("usr/lib/systemd/system/other.service", UNIT),
    ]);
    assert_eq!(
        started(&found),
        [
            "alarm@helper.service.service",
            "day.service",
            "helper.service",
            "inetd@.service",
            "kept.service",
            "logger.service",
            "sub@z.service",
            "taken.service",
            "upheld.service",
            "web.service",
            "y@z.service"
        ]
    );
    assert!(found.started["helper.service"].contains("Wants= of web.service"));
    assert_eq!(found.idle.keys().collect::<Vec<_>>(), ["extra.service", "other.service"]);
    assert!(found.idle["extra.service"].contains("Also="));
}

#[test]
fn an_open_instance_stands_for_all_of_them() {
    let found = census(&[
        ("usr/lib/systemd/system/sockets.target.wants/in.socket", "-> ../in.socket"),
        ("usr/lib/systemd/system/in.socket", "[Socket]\nAccept=yes\n"),
        ("usr/lib/systemd/system/in@.service", "[Unit]\nWants=sub@%i.service\n[Service]\nExecStart=/bin/x\n"),
        ("usr/lib/systemd/system/sub@.service", UNIT),
        ("usr/lib/systemd/system/x.target.wants/in@known.service", "-> ../in@.service"),
    ]);
    assert_eq!(started(&found), ["in@.service", "sub@.service"]);
}

#[test]
fn the_bus_and_devices_start_services() {
    let found = census(&[
        (
            "usr/share/dbus-1/system-services/a.service",
            "[D-BUS Service]\nName=a\nExec=/bin/false\nSystemdService=a.service\n",
        ),
        ("usr/lib/systemd/system/a.service", UNIT),
        ("usr/share/dbus-1/system-services/b.service", "[D-BUS Service]\nName=org.b\nExec=/usr/bin/b\nUser=root\n"),
        ("usr/share/dbus-1/system-services/c.service", "[D-BUS Service]\nName=c\nExec=/bin/false\n"),
        (
            "usr/lib/udev/rules.d/1.rules",
            "# ENV{SYSTEMD_WANTS}+=\"no.service\"\nX==\"1\", ENV{SYSTEMD_WANTS}+=\"d.service e@$name.service\"\n",
        ),
        ("usr/lib/systemd/system/d.service", UNIT),
        ("usr/lib/systemd/system/e@.service", UNIT),
    ]);
    assert_eq!(started(&found), ["a.service", "d.service", "e@.service"]);
    let bus: Vec<_> = found.unnamed.iter().filter(|u| u.way == Way::Bus).collect();
    assert_eq!(bus.len(), 1);
    assert!(bus[0].reason.contains("/usr/bin/b") && bus[0].what.ends_with("b.service"));
}

#[test]
fn generators_whose_input_is_plain_are_read() {
    let generator = |n: &str| format!("usr/lib/systemd/system-generators/{n}");
    let names = ["postgresql-generator", "postfix-instance-generator", "openvpn-generator", "systemd-sysv-generator"];
    let paths: Vec<String> = names.iter().map(|n| generator(n)).collect();
    let odd = generator("odd-generator");
    let masked = generator("masked-generator");
    let mut files: Vec<(&str, &str)> = paths.iter().map(|p| (p.as_str(), "#!/bin/sh\n")).collect();
    files.extend([
        (odd.as_str(), "#!/bin/sh\n"),
        (masked.as_str(), "#!/bin/sh\n"),
        ("etc/systemd/system-generators/masked-generator", "-> /dev/null"),
        ("usr/lib/postgresql/15/bin/postgres", ""),
        ("etc/postgresql/15/main/postgresql.conf", ""),
        ("etc/postgresql/15/main/start.conf", "# c\n auto # yes\n"),
        ("etc/postgresql/15/off/postgresql.conf", ""),
        ("etc/postgresql/15/off/start.conf", "manual\n"),
        ("etc/postgresql/14/gone/postgresql.conf", ""),
        ("usr/lib/systemd/system/postgresql@.service", UNIT),
        ("usr/lib/systemd/system/postfix@.service", UNIT),
        ("etc/postfix/main.cf", "x = y\nmulti_instance_directories = /etc/postfix-a\n  /etc/postfix-b\n"),
        ("etc/postfix-a/main.cf", "multi_instance_name = postfix-a\n"),
        ("etc/postfix-b/main.cf", "multi_instance_name = b\n"),
        ("usr/lib/systemd/system/openvpn@.service", UNIT),
        ("etc/default/openvpn", "#AUTOSTART=\"none\"\nAUTOSTART=\"home gone\"\n"),
        ("etc/openvpn/home.conf", ""),
        ("etc/openvpn/work.conf", ""),
        ("etc/init.d/old", "#!/bin/sh\n"),
        ("etc/rc2.d/S01old", "-> ../init.d/old"),
        ("etc/init.d/postgresql@", "#!/bin/sh\n"),
    ]);
    let found = census(&files);
    assert_eq!(
        started(&found),
        [
            "openvpn@home.service",
            "postfix@-.service",
            "postfix@b.service",
            "postfix@postfix-a.service",
            "postgresql@15-main.service"
        ]
    );
    let what = |way| found.unnamed.iter().filter(|u| u.way == way).map(|u| u.what.as_str()).collect::<Vec<_>>();
    assert_eq!(what(Way::Generator), ["/usr/lib/systemd/system-generators/odd-generator"]);
    assert_eq!(what(Way::InitScript), ["old.service"]);
}

#[test]
fn users_services_are_named() {
    let found = census(&[
        ("usr/lib/systemd/system/user@.service", UNIT),
        ("etc/systemd/user/default.target.wants/mine.service", "-> ../mine.service"),
        ("usr/lib/systemd/user/sockets.target.wants/agent.socket", "-> ../agent.socket"),
        ("usr/lib/systemd/user/agent.socket", "[Socket]\nListenStream=/x\n"),
        ("usr/lib/systemd/user/sockets.target.wants/dbus.socket", "-> ../dbus.socket"),
    ]);
    let users: Vec<_> = found.unnamed.iter().filter(|u| u.way == Way::User).map(|u| u.what.as_str()).collect();
    assert_eq!(users, ["user/agent.service", "user/mine.service"]);
}

#[test]
fn the_first_boot_enables_by_presets() {
    let unit = "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy=multi-user.target\n";
    let mut files = vec![
        ("usr/lib/systemd/system/a.service", unit),
        ("usr/lib/systemd/system/b.service", unit),
        ("usr/lib/systemd/system/c.service", UNIT),
        ("usr/lib/systemd/system/t@.service", "[Install]\nWantedBy=x.target\nDefaultInstance=one\n"),
        ("usr/lib/systemd/system-preset/90-x.preset", "# c\ndisable b.*\nenable *\n"),
    ];
    assert_eq!(started(&census(&files)), ["a.service", "t@one.service"]);
    files.push((
        "etc/systemd/system-preset/10-y.preset",
        "enable b.service\ndisable a.service\nenable t@.service x y\n",
    ));
    assert_eq!(started(&census(&files)), ["b.service", "t@x.service", "t@y.service"]);
    files.push(("etc/machine-id", ""));
    assert!(census(&files).started.is_empty(), "an empty file is not the first boot");
}
