//! Peers: what the configuration names, name servers where it names hosts, and systemd's notification socket.

use kiln_base::model::{PortRange, Proto, Verb};

use super::rule::Rule;
use crate::manifest::net::To;
use crate::manifest::{Declared, Note, Origin, PathFact, ServiceFacts};

/// Where journald listens for syslog(3); /dev/log is a link to it (systemd-journald-dev-log.socket).
const DEV_LOG: &str = "/run/systemd/journal/dev-log";

/// Whether the service resolves host names: where that is not known, it is taken to.
pub(super) fn asks_for_hosts(facts: &ServiceFacts) -> bool {
    facts.declared.as_ref().is_none_or(Declared::resolves_names)
}

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>, notes: &mut Vec<Note>) {
    let one = |port: u16| vec![PortRange { first: port, last: port }];
    if facts.programs.values().any(|p| p.glibc) {
        out.extend(facts.image.sockets.iter().map(|s| Rule::unix(Verb::Connect, s.glob(), &s.origin)));
    }
    notify(facts, out);
    bus(facts, out);
    let Some(declared) = &facts.declared else {
        let origin = Origin::known("syslog(3)", "/dev/log");
        out.push(Rule::unix(Verb::Connect, DEV_LOG.to_owned(), &origin));
        return;
    };
    for endpoint in &declared.connects {
        let (proto, origin) = (endpoint.proto, &endpoint.origin);
        match &endpoint.to {
            To::Unix(path) => {
                let path = if path == "/dev/log" { DEV_LOG } else { path };
                out.push(Rule::unix(Verb::Connect, PathFact::quote(path), origin));
            }
            To::Address(ip, port) => {
                let block = format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 });
                out.push(Rule::net(Verb::Connect, proto, block, one(*port), origin));
            }
            To::Loopback(port) => out.push(Rule::net(Verb::Connect, proto, "loopback", one(*port), origin)),
            To::Name(host, port) => {
                let text = format!(
                    "`{host}` is resolved on the running machine, so port {port} of any address is allowed: write its \
                     address block instead"
                );
                notes.push(Note::new(origin.clone(), text));
                out.push(Rule::net(Verb::Connect, proto, "any", one(*port), origin));
                name_servers(facts, origin, out);
            }
            To::Variable(text) => {
                let text = format!("`{text}` names the peer by a variable: add the rule that it needs by hand");
                notes.push(Note::new(origin.clone(), text));
            }
        }
    }
}

fn name_servers(facts: &ServiceFacts, origin: &Origin, out: &mut Vec<Rule>) {
    let ports = || vec![PortRange { first: 53, last: 53 }];
    for proto in [Proto::Udp, Proto::Tcp] {
        if facts.image.name_servers.is_empty() {
            out.push(Rule::net(Verb::Connect, proto, "any", ports(), origin));
        }
        for (ip, at) in &facts.image.name_servers {
            let block = format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 });
            out.push(Rule::net(Verb::Connect, proto, block, ports(), at));
        }
    }
}

/// The system bus, where systemd counts the service as started once it has its name there.
fn bus(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    let typed = facts.unit.last("Service", "Type").filter(|e| e.value == "dbus");
    if let Some(entry) = typed.or_else(|| facts.unit.last("Service", "BusName")) {
        out.push(Rule::unix(Verb::Connect, "/run/dbus/system_bus_socket".to_owned(), &entry.origin));
    }
}

/// sd_notify(3) for the unit types and settings that wait for it.
fn notify(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    let wanted = |key: &str, values: &[&str]| {
        facts.unit.last("Service", key).filter(|e| values.contains(&e.value.as_str())).map(|e| e.origin.clone())
    };
    let origin = wanted("Type", &["notify", "notify-reload"])
        .or_else(|| wanted("NotifyAccess", &["main", "exec", "all"]))
        .or_else(|| facts.unit.last("Service", "WatchdogSec").map(|e| e.origin.clone()));
    if let Some(origin) = origin {
        out.push(Rule::unix(Verb::Connect, "/run/systemd/notify".to_owned(), &origin));
    }
}
