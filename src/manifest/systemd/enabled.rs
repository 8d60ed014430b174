//! Which services an image starts: those that a target wants or requires by a link, and those that an enabled socket
//! starts.

use std::collections::BTreeMap;

use super::unit::{DIRECTORIES, Unit, is_unit_name};
use crate::manifest::root::{Root, RootError};

/// The services that the image starts, each with the link that says so.
pub fn services(root: &Root) -> Result<BTreeMap<String, String>, RootError> {
    let mut out = BTreeMap::new();
    for directory in DIRECTORIES {
        let folders = match root.entries(directory) {
            Err(e) if e.is_not_found() => continue,
            other => other?,
        };
        for (folder, _) in folders {
            if !(folder.ends_with(".wants") || folder.ends_with(".requires")) {
                continue;
            }
            let folder = format!("{directory}/{folder}");
            let Ok(links) = root.entries(&folder) else { continue };
            for (name, _) in links {
                let service = if name.ends_with(".socket") { started_by(root, &name) } else { Some(name.clone()) };
                let Some(service) = service else { continue };
                if service.ends_with(".service") && is_unit_name(&service) {
                    out.entry(service).or_insert_with(|| format!("{folder}/{name}"));
                }
            }
        }
    }
    Ok(out)
}

/// The service that a socket starts: Service=, or its namesake; none for Accept=, which starts an instance for each
/// connection.
fn started_by(root: &Root, socket: &str) -> Option<String> {
    let unit = Unit::load(root, socket, &mut Vec::new()).ok()?;
    if matches!(unit.flag("Socket", "Accept"), Some((true, _))) {
        return None;
    }
    match unit.last("Socket", "Service") {
        Some(entry) => Some(entry.value.clone()),
        None => Some(format!("{}.service", socket.strip_suffix(".socket")?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    #[test]
    fn wants_requires_and_sockets() {
        let (_dir, root) = image(&[
            ("etc/systemd/system/multi-user.target.wants/nginx.service", "-> /usr/lib/systemd/system/nginx.service"),
            ("usr/lib/systemd/system/sockets.target.wants/dbus.socket", "-> ../dbus.socket"),
            ("usr/lib/systemd/system/dbus.socket", "[Socket]\nListenStream=/run/dbus/x\n"),
            ("usr/lib/systemd/system/sockets.target.wants/log.socket", "-> ../log.socket"),
            ("usr/lib/systemd/system/log.socket", "[Socket]\nService=logger.service\n"),
            ("usr/lib/systemd/system/sockets.target.wants/inetd.socket", "-> ../inetd.socket"),
            ("usr/lib/systemd/system/inetd.socket", "[Socket]\nAccept=yes\n"),
            ("usr/lib/systemd/system/x.target.requires/y@z.service", "-> ../y@.service"),
            ("usr/lib/systemd/system/timers.target.wants/a.timer", "-> ../a.timer"),
        ]);
        let names: Vec<String> = services(&root).unwrap().into_keys().collect();
        assert_eq!(names, ["dbus.service", "logger.service", "nginx.service", "y@z.service"]);
    }
}
