//! A rule before it is text.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use kiln_base::model::{KernelOp, PortRange, Proto, Verb, VerbSet};
use serde::Serialize;

use crate::manifest::{Origin, PathFact};

/// References of one rule; more would hide the rule.
const MAX_BECAUSE: usize = 3;

/// Groups of the text, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Programs.
    Exec,
    /// Libraries.
    Load,
    /// Files that are read.
    Read,
    /// Files that are written.
    Write,
    /// Sockets.
    Network,
    /// Capabilities and kernel facilities.
    Kernel,
}

/// What a rule allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum What {
    /// Paths, as PDL globs.
    File {
        /// File verbs.
        verbs: VerbSet,
        /// Any of these.
        paths: Vec<String>,
    },
    /// Programs with another profile.
    Switch {
        /// Any of these, as PDL globs.
        paths: Vec<String>,
        /// Its name.
        profile: String,
    },
    /// IP sockets.
    Net {
        /// bind, connect or accept.
        verb: Verb,
        /// The protocol.
        proto: Proto,
        /// `any`, `loopback` or an address block.
        address: String,
        /// Any of these; empty for every port.
        ports: Vec<PortRange>,
    },
    /// Unix sockets, as PDL globs.
    Unix {
        /// bind, connect or accept.
        verb: Verb,
        /// Any of these.
        paths: Vec<String>,
    },
    /// Capabilities by their PDL names.
    Capability {
        /// Any of these.
        names: Vec<&'static str>,
    },
    /// Kernel facilities.
    Kernel {
        /// Any of these.
        ops: Vec<KernelOp>,
    },
}

/// One `allow`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Rule {
    /// Where in the text.
    pub section: Section,
    /// What it allows.
    pub what: What,
    /// What it follows from; never empty.
    pub because: Vec<Origin>,
}

impl Rule {
    /// A rule about paths.
    pub fn file(section: Section, verbs: &[Verb], paths: Vec<String>, because: &Origin) -> Rule {
        let verbs = verbs.iter().copied().collect();
        Rule { section, what: What::File { verbs, paths }, because: vec![because.clone()] }
    }
    /// A rule that a program (a literal path) may run, with another profile.
    pub fn switch(program: &str, profile: &str, because: &Origin) -> Rule {
        let what = What::Switch { paths: vec![PathFact::quote(program)], profile: profile.to_owned() };
        Rule { section: Section::Exec, what, because: vec![because.clone()] }
    }
    /// A rule about what is below a folder, and the folder itself.
    pub fn tree(section: Section, verbs: &[Verb], folder: &PathFact) -> Rule {
        let path = folder.glob();
        let paths = vec![path.clone(), format!("{}/**", path.trim_end_matches('/'))];
        Rule::file(section, verbs, paths, &folder.origin)
    }
    /// A rule about a kind of socket.
    pub fn net(verb: Verb, proto: Proto, address: impl Into<String>, ports: Vec<PortRange>, because: &Origin) -> Rule {
        let what = What::Net { verb, proto, address: address.into(), ports };
        Rule { section: Section::Network, what, because: vec![because.clone()] }
    }
    /// A rule about a unix socket (a PDL glob).
    pub fn unix(verb: Verb, path: String, because: &Origin) -> Rule {
        Rule { section: Section::Network, what: What::Unix { verb, paths: vec![path] }, because: vec![because.clone()] }
    }
    /// A rule about a capability.
    pub fn capability(name: &'static str, because: &Origin) -> Rule {
        let what = What::Capability { names: vec![name] };
        Rule { section: Section::Kernel, what, because: vec![because.clone()] }
    }
    /// A rule about a kernel facility.
    pub fn kernel(op: KernelOp, because: &Origin) -> Rule {
        Rule { section: Section::Kernel, what: What::Kernel { ops: vec![op] }, because: vec![because.clone()] }
    }
}

/// One rule for each thing allowed, one line for things with the same reason, nothing that a wider rule covers.
pub(super) fn tidy(rules: Vec<Rule>) -> Vec<Rule> {
    let mut by_what: BTreeMap<(Section, What), BTreeSet<Origin>> = BTreeMap::new();
    for rule in rules {
        by_what.entry((rule.section, rule.what)).or_default().extend(rule.because);
    }
    // The verbs of all rules about each path, and about all that is below each folder.
    let mut same: HashMap<String, Vec<VerbSet>> = HashMap::new();
    let mut below: HashMap<String, Vec<VerbSet>> = HashMap::new();
    for (_, what) in by_what.keys() {
        let What::File { verbs, paths } = what else { continue };
        for path in paths {
            same.entry(path.clone()).or_default().push(*verbs);
            if let Some(tree) = path.strip_suffix("/**") {
                below.entry(tree.to_owned()).or_default().push(*verbs);
            }
        }
    }
    let holds =
        |list: Option<&Vec<VerbSet>>, verbs: VerbSet| list.is_some_and(|l| l.iter().any(|v| v.union(verbs) == *v));
    // A folder above the path has the verbs for all that is below it.
    let covered = |verbs: VerbSet, path: &str| {
        let bare = path.strip_suffix("/**").unwrap_or(path);
        bare.match_indices('/').any(|(at, _)| holds(below.get(&bare[..at]), verbs))
    };
    // The same path with more verbs.
    let exceeded = |verbs: VerbSet, path: &str| {
        same.get(path).is_some_and(|l| l.iter().any(|v| *v != verbs && v.union(verbs) == *v))
    };
    let mut out: Vec<Rule> = Vec::new();
    // Where the rule for things of one kind with one reason stands.
    let mut places: HashMap<(Section, Kind, Vec<Origin>), usize> = HashMap::new();
    for ((section, mut what), because) in by_what {
        if let What::File { verbs, paths } = &mut what {
            paths.retain(|p| !covered(*verbs, p) && !exceeded(*verbs, p));
            if paths.is_empty() {
                continue;
            }
        }
        let because: Vec<Origin> = because.into_iter().take(MAX_BECAUSE).collect();
        let Some(kind) = kind(&what) else {
            out.push(Rule { section, what, because });
            continue;
        };
        match places.entry((section, kind, because.clone())) {
            Entry::Occupied(at) => join(&mut out[*at.get()].what, what),
            Entry::Vacant(free) => {
                free.insert(out.len());
                out.push(Rule { section, what, because });
            }
        }
    }
    for rule in &mut out {
        if let What::File { paths, .. } | What::Switch { paths, .. } | What::Unix { paths, .. } = &mut rule.what {
            let mut seen = HashSet::new();
            paths.retain(|p| seen.insert(p.clone()));
        }
    }
    out
}

/// What rules must have in common to become one line.
#[derive(PartialEq, Eq, Hash)]
enum Kind {
    File(VerbSet),
    Switch(String),
    Unix(Verb),
    Capability,
    Kernel,
}

fn kind(what: &What) -> Option<Kind> {
    Some(match what {
        What::File { verbs, .. } => Kind::File(*verbs),
        What::Switch { profile, .. } => Kind::Switch(profile.clone()),
        What::Unix { verb, .. } => Kind::Unix(*verb),
        What::Capability { .. } => Kind::Capability,
        What::Kernel { .. } => Kind::Kernel,
        What::Net { .. } => return None,
    })
}

fn join(into: &mut What, from: What) {
    match (into, from) {
        (What::File { paths: a, .. }, What::File { paths: b, .. })
        | (What::Switch { paths: a, .. }, What::Switch { paths: b, .. })
        | (What::Unix { paths: a, .. }, What::Unix { paths: b, .. }) => a.extend(b),
        (What::Capability { names: a }, What::Capability { names: b }) => a.extend(b),
        (What::Kernel { ops: a }, What::Kernel { ops: b }) => a.extend(b),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covered_rules_go_and_equal_reasons_meet() {
        let origin = |n| Origin::line("/f", n);
        let read = |p: &str, n| Rule::file(Section::Read, &[Verb::Read], vec![p.to_owned()], &origin(n));
        let rules = tidy(vec![
            Rule::tree(Section::Read, &[Verb::Read], &PathFact::new("/etc/nginx", origin(1))),
            read("/etc/nginx/nginx.conf", 2),
            read("/etc/nginx-other", 3),
            read("/etc/passwd", 3),
            read("/etc/passwd", 4),
            read("/run/pid", 6),
            Rule::file(Section::Write, &[Verb::Read, Verb::Modify], vec!["/run/pid".to_owned()], &origin(6)),
            Rule::capability("setuid", &origin(5)),
            Rule::capability("setgid", &origin(5)),
        ]);
        let whats: Vec<String> = rules.iter().map(|r| format!("{:?}", r.what)).collect();
        assert_eq!(rules.len(), 5, "{whats:#?}");
        assert!(whats.iter().any(|w| w.contains("\"setgid\", \"setuid\"")));
        assert!(rules.iter().any(|r| r.because.len() == 2));
    }
}
