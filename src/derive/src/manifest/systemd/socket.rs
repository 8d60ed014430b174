//! `.socket` units: where systemd listens for a service (systemd.socket(5)).

use std::collections::BTreeSet;

use kiln_base::model::{PortRange, Proto};

use super::index::{Index, Sockets};
use super::name::is_unit_name;
use super::specifier;
use super::unit::Unit;
use crate::manifest::net::{At, Listen};
use crate::manifest::root::Root;
use crate::manifest::{Note, PathFact};

/// What the socket units of a service give it.
#[derive(Debug, Default)]
pub struct Passed {
    /// Sockets that it accepts on.
    pub listens: Vec<Listen>,
    /// Those of them that nothing in the image makes systemd bind, so that the service binds them itself.
    pub unbound: Vec<Listen>,
    /// FIFOs and special files.
    pub files: Vec<PathFact>,
}

/// The settings that make sockets.
const LISTEN: [(&str, Proto); 3] =
    [("ListenStream", Proto::Tcp), ("ListenDatagram", Proto::Udp), ("ListenSequentialPacket", Proto::Tcp)];

/// The sockets that systemd passes to a service: of units that name it by Service=, of `Sockets=`, and of the socket unit
/// with its name.
pub fn passed(root: &Root, service: &Unit, notes: &mut Vec<Note>) -> Passed {
    let index = Index::of(root);
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (name, _) in service.words("Service", &["Sockets"], notes) {
        if let Ok(name) = specifier::expand(&name, &service.name)
            && name.ends_with(".socket")
            && is_unit_name(&name)
        {
            names.insert(name);
        }
    }
    let mut own = vec![service.name.clone()];
    own.extend(index.aliases(&service.name));
    for name in &own {
        names.extend(Sockets::of(root).of.get(name).into_iter().flatten().cloned());
    }
    let namesake = service.name.strip_suffix(".service").map(|stem| format!("{stem}.socket"));
    names.extend(namesake.clone());
    let pulled = |name: &str| {
        let keys = ["Requires", "Wants", "BindsTo", "Requisite", "Upholds"];
        service.entries.iter().any(|e| {
            e.section == "Unit" && keys.contains(&e.key.as_str()) && e.value.split_whitespace().any(|w| w == name)
        })
    };
    let mut out = Passed::default();
    for name in names {
        let Ok(unit) = Unit::load(root, &name, notes) else { continue };
        let other = unit.last("Socket", "Service").filter(|e| !own.contains(&e.value));
        // With Accept=yes an instance of its own gets each connection, and systemd accepts it.
        if matches!(unit.flag("Socket", "Accept"), Some((true, _)))
            || (other.is_some() && namesake.as_ref() == Some(&name))
        {
            continue;
        }
        let bound = index.started_by(&unit.name).is_some() || pulled(&name);
        let before = out.listens.len();
        let sctp = unit.last("Socket", "SocketProtocol").is_some_and(|e| e.value == "sctp");
        for (key, proto) in LISTEN {
            let proto = if sctp && proto == Proto::Tcp { Proto::Sctp } else { proto };
            for entry in unit.list("Socket", key) {
                let value = match specifier::expand(&entry.value, &unit.name) {
                    Ok(value) => value,
                    Err(e) => {
                        notes.push(Note::new(entry.origin.clone(), format!("{key}= is left out: {e}")));
                        continue;
                    }
                };
                match at(&value) {
                    Some(at) => out.listens.push(Listen { at: real(root, at), proto, origin: entry.origin.clone() }),
                    None => notes.push(Note::new(
                        entry.origin.clone(),
                        format!("`{key}={value}` is not an address of IP or unix sockets: it has no rule"),
                    )),
                }
            }
        }
        for key in ["ListenFIFO", "ListenSpecial"] {
            for entry in unit.list("Socket", key) {
                let path = specifier::expand(&entry.value, &unit.name).ok().filter(|p| p.starts_with('/'));
                if let Some(real) = path.and_then(|p| root.resolve(&p).ok()) {
                    out.files.push(PathFact::new(real.path, entry.origin.clone()));
                }
            }
        }
        if !bound && out.listens.len() > before {
            out.unbound.extend_from_slice(&out.listens[before..]);
            let text = format!(
                "nothing in the image starts `{name}`: the service may bind its addresses itself; disable the socket for \
                 good or enable it"
            );
            notes.push(Note::new(out.listens[before].origin.clone(), text));
        }
    }
    out
}

/// The kernel knows a socket by its real path: `/var/run/x` is `/run/x`.
fn real(root: &Root, at: At) -> At {
    match at {
        At::Unix(path) if path.starts_with('/') => At::Unix(root.resolve(&path).map_or(path, |r| r.path)),
        other => other,
    }
}

/// An address as socket_address_parse() of systemd reads it; `None` for vsock and what is none.
fn at(value: &str) -> Option<At> {
    if value.starts_with('/') || value.starts_with('@') {
        return (value.len() > 1).then(|| At::Unix(value.to_owned()));
    }
    let port = |text: &str| text.parse::<u16>().ok().filter(|p| *p > 0).map(|p| PortRange { first: p, last: p });
    if let Some(ports) = port(value) {
        return Some(At::Any(ports));
    }
    let (host, tail) = value.rsplit_once(':')?;
    // `[fe80::1%eth0]:80` and `[fe80::1]:80%eth0` name the interface too.
    let host = host.trim_start_matches('[').trim_end_matches(']').split('%').next()?;
    let ip: std::net::IpAddr = host.parse().ok()?;
    let ports = port(tail.split('%').next()?)?;
    Some(if ip.is_unspecified() { At::Any(ports) } else { At::Address(ip, ports) })
}

impl Sockets {
    /// Those of an image, read once.
    pub fn of(root: &Root) -> &Sockets {
        root.sockets.get_or_init(|| {
            let mut out = Sockets::default();
            for name in Index::of(root).sockets() {
                if Index::of(root).main(name) != name {
                    continue;
                }
                let Ok(unit) = Unit::load(root, name, &mut Vec::new()) else { continue };
                if let Some(entry) = unit.last("Socket", "Service") {
                    out.of.entry(entry.value.clone()).or_default().push(name.to_owned());
                }
            }
            out
        })
    }
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
            ("etc/systemd/system/sockets.target.wants/a.socket", "-> ../a.socket"),
            (
                "usr/lib/systemd/system/c.socket",
                "[Socket]\nService=a.service\nListenStream=%t/%N.sock\nListenSequentialPacket=@x\nListenFIFO=/run/f\n",
            ),
            ("usr/lib/systemd/system/d.socket", "[Socket]\nService=a.service\nAccept=yes\nListenStream=9\n"),
        ]);
        let mut notes = Vec::new();
        let unit = Unit::load(&root, "a.service", &mut notes).unwrap();
        let passed = passed(&root, &unit, &mut notes);
        let shown = |list: &[Listen]| list.iter().map(|l| format!("{:?} {:?}", l.proto, l.at)).collect::<Vec<String>>();
        let got = shown(&passed.listens);
        assert_eq!(got.len(), 6, "{got:?}");
        for unix in ["/run/a.sock", "/run/c.sock", "@x"] {
            assert!(got.contains(&format!("Tcp Unix({unix:?})")), "{got:?}");
        }
        assert_eq!(passed.unbound.len(), 4);
        assert_eq!(passed.files[0].path, "/run/f");
        // One address that is none, and two sockets that nothing starts.
        assert_eq!(notes.len(), 3, "{notes:?}");
    }
}
