//! Connections and datagrams that the service takes: from anybody on the ports where it listens, from the machine itself where it
//! listens on a loopback address only.

use kiln_base::model::{Proto, Verb};

use super::bind::block;
use super::rule::Rule;
use crate::manifest::net::At;
use crate::manifest::{PathFact, ServiceFacts};

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    for listen in facts.declared.iter().flat_map(|d| &d.listens).chain(&facts.sockets) {
        if let At::Unix(path) = &listen.at {
            out.push(Rule::unix(Verb::Accept, PathFact::quote(path), &listen.origin));
            continue;
        }
        let ports = block(&listen.at).1;
        let local = match &listen.at {
            At::Loopback(_) => true,
            At::Address(ip, _) => ip.is_loopback(),
            _ => false,
        };
        let from = if local { "loopback" } else { "any" };
        match listen.proto {
            // UDP has no connections: an answer is a datagram to the client, from whatever port.
            Proto::Udp => {
                out.push(Rule::net(Verb::Accept, Proto::Udp, from, vec![ports], &listen.origin));
                out.push(Rule::net(Verb::Connect, Proto::Udp, from, Vec::new(), &listen.origin));
            }
            proto => out.push(Rule::net(Verb::Accept, proto, from, vec![ports], &listen.origin)),
        }
    }
}
