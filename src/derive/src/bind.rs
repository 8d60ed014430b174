//! Sockets that the service binds itself. Those of a `.socket` unit are bound by systemd.

use kiln_base::model::{PortRange, Verb};

use super::rule::{Rule, Section};
use crate::manifest::net::At;
use crate::manifest::{PathFact, ServiceFacts};

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    for listen in facts.declared.iter().flat_map(|d| d.listens.iter().chain(&d.binds)).chain(&facts.unbound) {
        if let At::Unix(path) = &listen.at {
            let path = PathFact::quote(path);
            out.push(Rule::unix(Verb::Bind, path.clone(), &listen.origin));
            // Servers open the socket to everybody after bind, and remove it at the end (ngx_open_listening_sockets()).
            out.push(Rule::file(Section::Write, &[Verb::Delete, Verb::Setattr], vec![path], &listen.origin));
            continue;
        }
        let (address, ports) = block(&listen.at);
        let ports = if ports == PortRange::ANY { Vec::new() } else { vec![ports] };
        out.push(Rule::net(Verb::Bind, listen.proto, address, ports, &listen.origin));
    }
}

/// The address block and the ports of a `listen`.
pub(super) fn block(at: &At) -> (String, PortRange) {
    match at {
        At::Any(ports) | At::Name(_, ports) => ("any".to_owned(), *ports),
        At::Loopback(ports) => ("loopback".to_owned(), *ports),
        At::Address(ip, ports) => (format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }), *ports),
        At::Unix(_) => ("any".to_owned(), PortRange::ANY),
    }
}
