//! `.socket` units: where systemd listens for a service (systemd.socket(5)).

use super::unit::{Unit, is_unit_name};
use crate::manifest::nginx::Listen;
use crate::manifest::nginx::listen::At;
use crate::manifest::root::Root;
use crate::manifest::{Note, Origin};
use crate::model::{PortRange, Proto};

/// The sockets that systemd passes to a service: those of `Sockets=`, and of the socket unit with its name.
pub fn listens(root: &Root, service: &Unit, notes: &mut Vec<Note>) -> Vec<Listen> {
    let mut names: Vec<String> = service
        .list("Service", "Sockets")
        .iter()
        .flat_map(|e| e.value.split_whitespace())
        .filter(|n| n.ends_with(".socket") && is_unit_name(n))
        .map(str::to_owned)
        .collect();
    if let Some(stem) = service.name.strip_suffix(".service") {
        names.push(format!("{stem}.socket"));
    }
    names.sort();
    names.dedup();
    let mut out = Vec::new();
    for name in names {
        let Ok(unit) = Unit::load(root, &name, notes) else { continue };
        for (key, proto) in [("ListenStream", Proto::Tcp), ("ListenDatagram", Proto::Udp)] {
            for entry in unit.list("Socket", key) {
                match at(&entry.value) {
                    Some(at) => out.push(Listen { at: real(root, at), proto, origin: entry.origin.clone() }),
                    None => notes.push(unknown(&entry.origin, &entry.value)),
                }
            }
        }
    }
    out
}

fn unknown(origin: &Origin, value: &str) -> Note {
    Note::new(origin.clone(), format!("`{value}` is no address that is understood"))
}

/// The kernel knows a socket by its real path: `/var/run/x` is `/run/x`.
fn real(root: &Root, at: At) -> At {
    match at {
        At::Unix(path) if path.starts_with('/') => At::Unix(root.resolve(&path).map_or(path, |r| r.path)),
        other => other,
    }
}

fn at(value: &str) -> Option<At> {
    if value.starts_with('/') || value.starts_with('@') {
        return Some(At::Unix(value.to_owned()));
    }
    let port = |text: &str| text.parse::<u16>().ok().filter(|p| *p > 0).map(|p| PortRange { first: p, last: p });
    if let Some(ports) = port(value) {
        return Some(At::Any(ports));
    }
    let (host, tail) = value.rsplit_once(':')?;
    let ip: std::net::IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    let ports = port(tail)?;
    Some(if ip.is_unspecified() { At::Any(ports) } else { At::Address(ip, ports) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    #[test]
    fn sockets_of_a_service() {
        let (_dir, root) = image(&[
            ("usr/lib/systemd/system/a.service", "[Service]\nExecStart=/bin/a\nSockets=b.socket\n"),
            ("usr/lib/systemd/system/a.socket", "[Socket]\nListenStream=22\nListenStream=/var/run/a.sock\n"),
            (
                "usr/lib/systemd/system/b.socket",
                "[Socket]\nListenStream=127.0.0.1:80\nListenDatagram=[::1]:53\nListenStream=?\n",
            ),
            ("var/run", "-> /run"),
        ]);
        let mut notes = Vec::new();
        let unit = Unit::load(&root, "a.service", &mut notes).unwrap();
        let got: Vec<String> =
            listens(&root, &unit, &mut notes).iter().map(|l| format!("{:?} {:?}", l.proto, l.at)).collect();
        assert_eq!(got.len(), 4, "{got:?}");
        assert!(got.contains(&"Tcp Unix(\"/run/a.sock\")".to_owned()));
        assert_eq!(notes.len(), 1);
    }
}
