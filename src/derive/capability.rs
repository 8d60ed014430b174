//! Capabilities: what the unit grants, and what nginx's master uses as root. Workers have none.

use std::collections::BTreeSet;

use super::rule::Rule;
use crate::manifest::nginx::listen::At;
use crate::manifest::{Note, Origin, ServiceFacts};
use crate::model::{capability_name, capability_number};

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>, notes: &mut Vec<Note>) {
    let bound = bounding(facts);
    let permitted = |name: &str| bound.as_ref().is_none_or(|(set, _)| set.contains(name));
    let ambient: Vec<_> = facts.unit.list("Service", "AmbientCapabilities");
    for entry in &ambient {
        for name in names(&entry.value).into_iter().filter(|n| permitted(n)) {
            out.push(Rule::capability(name, &entry.origin));
        }
    }
    let user = facts.unit.last("Service", "User");
    let root = user.is_none_or(|u| matches!(u.value.as_str(), "root" | "0"))
        && !matches!(facts.unit.flag("Service", "DynamicUser"), Some((true, _)));
    if !root {
        return;
    }
    let Some(nginx) = &facts.nginx else {
        match bound {
            Some((set, origin)) => out.extend(set.into_iter().map(|name| Rule::capability(name, &origin))),
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
    for listen in &nginx.listens {
        if let At::Any(p) | At::Loopback(p) | At::Address(_, p) | At::Name(_, p) = &listen.at
            && p.first < 1024
        {
            add("net_bind_service", &listen.origin);
        }
    }
    if let Some((_, origin)) = &nginx.user {
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
    if let Some(origin) = &nginx.rlimit {
        add("sys_resource", origin);
    }
    if let Some(origin) = &nginx.priority {
        add("sys_nice", origin);
    }
}

/// The names in a list of `CAP_X`, without the `~` of an inverted one.
fn names(value: &str) -> Vec<&'static str> {
    let words = value.trim_start_matches('~').split_whitespace();
    words
        .filter_map(|w| capability_number(&w.strip_prefix("CAP_")?.to_ascii_lowercase()))
        .filter_map(capability_name)
        .collect()
}

/// CapabilityBoundingSet=, lists joined and inverted ones taken away (systemd.exec(5)); `None` without one.
fn bounding(facts: &ServiceFacts) -> Option<(BTreeSet<&'static str>, Origin)> {
    let mut set: Option<BTreeSet<&'static str>> = None;
    let mut origin = None;
    for entry in facts.unit.entries.iter().filter(|e| e.section == "Service" && e.key == "CapabilityBoundingSet") {
        origin = Some(entry.origin.clone());
        let listed = names(&entry.value);
        if entry.value.is_empty() {
            set = Some(BTreeSet::new());
        } else if entry.value.starts_with('~') {
            let all = || (0..=40).filter_map(capability_name).collect();
            let set = set.get_or_insert_with(all);
            set.retain(|n| !listed.contains(n));
        } else {
            set.get_or_insert_default().extend(listed);
        }
    }
    Some((set?, origin?))
}
