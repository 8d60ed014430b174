//! Capabilities: what the unit grants, and what a program uses as root before it becomes its own user.

use std::collections::BTreeSet;

use kiln_base::model::{capability_name, capability_number};

use super::rule::Rule;
use crate::manifest::net::At;
use crate::manifest::{Note, Origin, ServiceFacts};

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>, notes: &mut Vec<Note>) {
    let bound = set(facts, "CapabilityBoundingSet", false);
    let permitted = |name: &str| bound.as_ref().is_none_or(|(set, _)| set.contains(name));
    if let Some((ambient, origins)) = set(facts, "AmbientCapabilities", true) {
        for name in ambient.into_iter().filter(|n| permitted(n)) {
            out.extend(origins.iter().map(|origin| Rule::capability(name, origin)));
        }
    }
    let user = facts.unit.last("Service", "User");
    let root = user.is_none_or(|u| matches!(u.value.as_str(), "root" | "0"))
        && !matches!(facts.unit.flag("Service", "DynamicUser"), Some((true, _)));
    if !root {
        return;
    }
    let Some(declared) = &facts.declared else {
        match bound {
            Some((set, origins)) => {
                let each = set.into_iter().flat_map(|name| origins.iter().map(move |o| Rule::capability(name, o)));
                out.extend(each);
            }
            None => {
                let text = "the service runs as root and the unit has no CapabilityBoundingSet=: which capabilities it \
                            uses is not known, so none is allowed";
                notes.push(Note::new(Origin::line(&facts.unit.fragment, 1), text));
            }
        }
        return;
    };
    let mut add = |name: &'static str, because: &Origin| {
        if permitted(name) {
            out.push(Rule::capability(name, because));
        }
    };
    for listen in &declared.listens {
        if let At::Any(p) | At::Loopback(p) | At::Address(_, p) | At::Name(_, p) = &listen.at
            && p.first < 1024
        {
            add("net_bind_service", &listen.origin);
        }
    }
    if let Some((_, origin)) = &declared.user {
        // To become the workers' user, to give it the temporary folders and reopened logs, to end a worker that hangs.
        for name in ["setuid", "setgid", "chown", "kill"] {
            add(name, origin);
        }
        // Logs that belong to another user are opened and, when reopened, given away by the master, which is root.
        for log in &facts.rotated {
            add("dac_override", &log.origin);
            add("fowner", &log.origin);
        }
    }
    for (name, origin) in &declared.capabilities {
        add(name, origin);
    }
}

/// The names in a list of `CAP_X`, in capitals or not, or of numbers (capability_set_from_string() of systemd).
fn names(value: &str) -> BTreeSet<&'static str> {
    let words = value.split_whitespace().map(|w| w.trim_matches(['"', '\'']));
    words
        .filter_map(|w| {
            let lower = w.to_ascii_lowercase();
            let number = lower.strip_prefix("cap_").and_then(capability_number).or_else(|| lower.parse().ok())?;
            capability_name(number)
        })
        .collect()
}

/// A set of capabilities as systemd joins its assignments (config_parse_capability_set()): the first replaces what the
/// setting is without any, `~` takes away, and an empty set replaces as well. `None` where the unit has none.
fn set(facts: &ServiceFacts, key: &str, unset_is_empty: bool) -> Option<(BTreeSet<&'static str>, Vec<Origin>)> {
    let all = || (0..=40).filter_map(capability_name).collect::<BTreeSet<&'static str>>();
    let mut set: Option<BTreeSet<&'static str>> = None;
    let mut origins = Vec::new();
    for entry in facts.unit.entries.iter().filter(|e| e.section == "Service" && e.key == key) {
        let inverted = entry.value.strip_prefix('~');
        let listed = names(inverted.unwrap_or(&entry.value));
        let old = set.take().filter(|s| !(listed.is_empty() || (unset_is_empty && s.is_empty())));
        if old.is_none() {
            origins.clear();
        }
        origins.push(entry.origin.clone());
        set = Some(match (old, inverted) {
            (Some(old), Some(_)) => old.difference(&listed).copied().collect(),
            (Some(old), None) => old.union(&listed).copied().collect(),
            (None, Some(_)) => all().difference(&listed).copied().collect(),
            (None, None) => listed,
        });
    }
    Some((set?, origins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_form() {
        assert_eq!(
            names("CAP_NET_RAW cap_Sys_Admin 0 CAP_NONE chown"),
            BTreeSet::from(["net_raw", "sys_admin", "chown"])
        );
    }
}
