//! Files that are read: configuration, data, and what the C library and OpenSSL open on their own.

use kiln_base::model::Verb;

use super::connect;
use super::name::subject;
use super::rule::{Rule, Section};
use crate::manifest::{PathFact, ServiceFacts};

const READ: &[Verb] = &[Verb::Read];

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    let file = |fact: &PathFact| Rule::file(Section::Read, READ, vec![fact.glob()], &fact.origin);
    let programs = || facts.programs.values();
    if programs().any(|p| p.glibc) {
        out.extend(facts.image.glibc.iter().map(file));
        out.extend(facts.image.users.iter().map(file));
        if connect::asks_for_hosts(facts) {
            out.extend(facts.image.hosts.iter().map(file));
        }
    }
    for origin in programs().filter(|p| p.glibc).filter_map(|p| p.asks_for_stack.as_ref()) {
        // glibc reads its own mappings for that. No path says "its own": the rule permits those of each process that the
        // kernel itself lets the service look at, which has the same user and no more capabilities.
        let own = PathFact { path: "/proc/[0-9]*/maps".to_owned(), pattern: true, origin: origin.clone() };
        out.push(file(&own));
    }
    if programs().flat_map(|p| &p.libraries).any(|l| l.path.contains("/libcrypto.so")) {
        out.extend(facts.image.openssl.iter().map(file));
    }
    out.extend(facts.data.iter().map(|folder| Rule::tree(Section::Read, READ, folder)));
    if programs().any(|p| !p.glibc && !p.script) {
        // A run-time library that the program brings itself: Go's, Rust's with musl, musl.
        out.extend(facts.image.zone.iter().map(file));
        out.extend(facts.image.users.iter().map(file));
        if connect::asks_for_hosts(facts) {
            out.extend(facts.image.hosts.iter().map(file));
            out.extend(facts.image.authorities.iter().map(|folder| Rule::tree(Section::Read, READ, folder)));
        }
    }
    out.extend(facts.arguments.iter().map(file));
    out.extend(facts.readable.iter().map(|folder| Rule::tree(Section::Read, READ, folder)));
    for key in
        ["LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted", "ImportCredential"]
    {
        if let Some(entry) = facts.unit.list("Service", key).first() {
            let path = format!("/run/credentials/{}", subject(&facts.unit.name));
            let folder = PathFact { path, pattern: true, origin: entry.origin.clone() };
            out.push(Rule::tree(Section::Read, READ, &folder));
        }
    }
    let Some(declared) = &facts.declared else { return };
    out.extend(declared.reads.iter().map(file));
    out.extend(declared.trees.iter().map(|folder| Rule::tree(Section::Read, READ, folder)));
}
