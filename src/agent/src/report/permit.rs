//! The rule that would permit what an event was refused for, as PDL has it.

use kiln_base::event::Violation;
use kiln_base::model::{BlockKind, Class, Verb, Verdict, pattern_in_quotes, quote_pattern};
use serde::Serialize;

/// What would permit it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Permit {
    /// What is to be done.
    pub how: String,
    /// The narrowest rule that permits it, where one can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// Why no rule permits what the block `kiln` refuses: the texts of `Reason`.
const BEYOND: [(&str, &str); 6] = [
    ("it is in quarantine", "no rule: let it out with `kiln-agent release`"),
    ("Kiln protects", "no rule: no confined process reaches what is Kiln's"),
    ("it would go beyond a limit", "raise the limit of its profile"),
    ("the path is too long", "no rule: the kernel programs cannot tell which path it is"),
    ("the address is malformed", "no rule: the kernel programs cannot tell which address it is"),
    ("the task's subject is unknown", "the policy has no subject with all its guards: publish one that has"),
];

/// What would permit the request of an event.
pub fn of(event: &Violation) -> Permit {
    let how = |how: String| Permit { how, rule: None };
    if event.verdict == Verdict::Watched {
        return how("it is permitted".to_owned());
    }
    if event.profile == "kiln" && event.block_kind == BlockKind::Guard {
        let known = BEYOND.iter().find(|(reason, _)| event.rule.starts_with(reason));
        return how(known.map_or("no rule: try again", |(_, mend)| *mend).to_owned());
    }
    let written = event.rule.starts_with("deny ");
    if event.block_kind == BlockKind::Guard {
        return how(format!("no profile can: narrow `{}` of guard {}", event.rule, event.profile));
    }
    let rule = event.verb.known().and_then(|verb| rule(verb, &event.object));
    let first =
        if written { format!("narrow `{}`, which wins over every allow, and ", event.rule) } else { String::new() };
    match rule {
        Some(rule) => Permit { how: format!("{first}add to profile {}", event.profile), rule: Some(rule) },
        None => how(format!("{first}no rule can name this object alone: allow what contains it")),
    }
}

/// The rule, where its object has a name.
fn rule(verb: Verb, object: &str) -> Option<String> {
    match verb.class() {
        Class::File => path(object).map(|path| format!("allow {verb} {path};")),
        Class::Network => match object.strip_prefix("unix:") {
            Some(name) => path(name).map(|name| format!("allow {verb} unix {name};")),
            None => address(verb, object),
        },
        Class::Names => {
            // `module:NAME` says what it is about; the rule names the operation.
            let name = object.split(':').next().unwrap_or(object);
            let plain =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            plain.then(|| format!("allow {verb} {name};"))
        }
    }
}

/// A path as a pattern that matches it alone. Events have control characters and bytes that are no text as `\xNN`, and
/// such a path is named by a pattern with `?` in their place.
fn path(path: &str) -> Option<String> {
    let name = path.strip_prefix('@').unwrap_or(path);
    if path.is_empty() || name.is_empty() || !(path.starts_with('/') || path.starts_with('@')) {
        return None;
    }
    let mut pattern = String::new();
    let mut rest = path;
    while let Some(at) = rest.find("\\x") {
        let hex = rest.get(at + 2..at + 4).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
        pattern.push_str(&quote_pattern(&rest[..at]));
        pattern.push_str(if hex == "5c" { "\\\\" } else { "?" });
        rest = &rest[at + 4..];
    }
    pattern.push_str(&quote_pattern(rest));
    Some(pattern_in_quotes(&pattern))
}

/// `tcp:10.0.0.1:443`, `udp:[::1]:53`, `icmp:10.0.0.1`.
fn address(verb: Verb, object: &str) -> Option<String> {
    let (protocol, rest) = object.split_once(':')?;
    let preposition = verb.preposition()?;
    if protocol == "icmp" {
        let address: std::net::IpAddr = rest.parse().ok()?;
        return Some(format!("allow {verb} icmp {preposition} \"{address}\";"));
    }
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return None;
    }
    let address: std::net::SocketAddr = rest.parse().ok()?;
    Some(format!("allow {verb} {protocol} {preposition} \"{}\" port {};", address.ip(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_object_has_its_rule() {
        for (verb, object, expected) in [
            (Verb::Read, "/etc/shadow", Some(r#"allow read "/etc/shadow";"#)),
            (Verb::Exec, "/a b/[x]*", Some(r#"allow exec "/a b/\[x\]\*";"#)),
            (Verb::Read, "/a\\x0ab\\x5cc", Some(r#"allow read "/a?b\\c";"#)),
            (Verb::Read, "", None),
            (Verb::Connect, "tcp:10.0.0.1:443", Some(r#"allow connect tcp to "10.0.0.1" port 443;"#)),
            (Verb::Accept, "udp:[::1]:53", Some(r#"allow accept udp from "::1" port 53;"#)),
            (Verb::Bind, "sctp:0.0.0.0:80", Some(r#"allow bind sctp on "0.0.0.0" port 80;"#)),
            (Verb::Connect, "icmp:10.0.0.1", Some(r#"allow connect icmp to "10.0.0.1";"#)),
            (Verb::Connect, "protocol-99:10.0.0.1:0", None),
            (Verb::Connect, "unix:/run/x.sock", Some(r#"allow connect unix "/run/x.sock";"#)),
            (Verb::Connect, "unix:@x", Some(r#"allow connect unix "@x";"#)),
            (Verb::Capability, "net_admin", Some("allow capability net_admin;")),
            (Verb::Capability, "capability-63", None),
            (Verb::Kernel, "module:ext4", Some("allow kernel module;")),
        ] {
            assert_eq!(rule(verb, object).as_deref(), expected, "{object}");
        }
    }
}
