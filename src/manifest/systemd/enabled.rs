//! Which services an image starts: those that a target wants or requires by a link, and those that an enabled socket
//! starts.

use std::collections::BTreeMap;

use super::unit::{DIRECTORIES, is_unit_name};
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
                let service = match name.strip_suffix(".socket") {
                    Some(stem) => format!("{stem}.service"),
                    None => name.clone(),
                };
                if service.ends_with(".service") && is_unit_name(&service) {
                    out.entry(service).or_insert_with(|| format!("{folder}/{name}"));
                }
            }
        }
    }
    Ok(out)
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
            ("usr/lib/systemd/system/x.target.requires/y@z.service", "-> ../y@.service"),
            ("usr/lib/systemd/system/timers.target.wants/a.timer", "-> ../a.timer"),
        ]);
        let names: Vec<String> = services(&root).unwrap().into_keys().collect();
        assert_eq!(names, ["dbus.service", "nginx.service", "y@z.service"]);
    }
}
