//! A rule before it is text.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::manifest::{Origin, PathFact};
use crate::model::{KernelOp, PortRange, Proto, Verb, VerbSet};

/// References of one rule; more would hide the rule.
const MAX_BECAUSE: usize = 3;

/// Groups of the text, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    let mut by_what: BTreeMap<(Section, What), Vec<Origin>> = BTreeMap::new();
    for rule in rules {
        let because = by_what.entry((rule.section, rule.what)).or_default();
        because.extend(rule.because.into_iter().filter(|b| !because.contains(b)).collect::<Vec<_>>());
    }
    for because in by_what.values_mut() {
        because.sort();
        because.truncate(MAX_BECAUSE);
    }
    let trees: Vec<(VerbSet, String)> = by_what
        .keys()
        .filter_map(|(_, what)| match what {
            What::File { verbs, paths } => {
                Some(paths.iter().filter_map(|p| Some((*verbs, p.strip_suffix("/**")?.to_owned()))))
            }
            _ => None,
        })
        .flatten()
        .collect();
    let covered = |verbs: VerbSet, path: &str| {
        let bare = path.strip_suffix("/**").unwrap_or(path);
        trees.iter().any(|(v, tree)| {
            v.union(verbs) == *v && bare.strip_prefix(tree.as_str()).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    let literals: Vec<(VerbSet, String)> = by_what
        .keys()
        .filter_map(|(_, what)| match what {
            What::File { verbs, paths } => Some(paths.iter().map(|p| (*verbs, p.clone()))),
            _ => None,
        })
        .flatten()
        .collect();
    // The same path with more verbs.
    let exceeded =
        |verbs: VerbSet, path: &str| literals.iter().any(|(v, p)| p == path && *v != verbs && v.union(verbs) == *v);
    let mut out: Vec<Rule> = Vec::new();
    for ((section, mut what), because) in by_what {
        if let What::File { verbs, paths } = &mut what {
            paths.retain(|p| !covered(*verbs, p) && !exceeded(*verbs, p));
            if paths.is_empty() {
                continue;
            }
        }
        let same = out.iter_mut().find(|r| r.section == section && r.because == because && joins(&r.what, &what));
        match same {
            Some(rule) => join(&mut rule.what, what),
            None => out.push(Rule { section, what, because }),
        }
    }
    out
}

fn joins(a: &What, b: &What) -> bool {
    match (a, b) {
        (What::File { verbs: a, .. }, What::File { verbs: b, .. }) => a == b,
        (What::Unix { verb: a, .. }, What::Unix { verb: b, .. }) => a == b,
        (What::Capability { .. }, What::Capability { .. }) | (What::Kernel { .. }, What::Kernel { .. }) => true,
        _ => false,
    }
}

fn join(into: &mut What, from: What) {
    match (into, from) {
        (What::File { paths: a, .. }, What::File { paths: b, .. })
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
