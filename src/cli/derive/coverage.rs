//! What of an image gets a profile, and what does not.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::automata::Pattern;
use crate::cli::Out;
use crate::manifest::Root;
use crate::manifest::dpkg::Database;
use crate::manifest::systemd::census::{Census, Way};
use crate::manifest::systemd::name::template_of;
use crate::manifest::systemd::{Unit, UnitError, own};

/// Names of services that nothing starts; more are counted.
const SHOWN: usize = 12;

/// Why something has no profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The image starts it and its facts cannot be read.
    Failed,
    /// The image starts it and --unit names others.
    NotNamed,
    /// A generator that is not known makes it.
    Generator,
    /// Made of a script in /etc/init.d.
    InitScript,
    /// The bus itself starts it.
    Bus,
    /// A device starts it under a name with variables.
    Device,
    /// A user's manager starts it.
    User,
    /// Of the system itself.
    System,
    /// --except names it.
    Excepted,
    /// Masked.
    Masked,
    /// A link leads to no unit.
    Absent,
    /// Nothing in the image starts it.
    Idle,
    /// Made on the running machine.
    RunTime,
}

impl Kind {
    /// Whether it runs by the image's own means and nobody decided that it should run without a profile.
    fn is_finding(self) -> bool {
        use Kind::*;
        matches!(self, Failed | NotNamed | Generator | InitScript | Bus | Device | User)
    }
}

/// Something without a profile.
#[derive(Debug, Serialize)]
pub(super) struct Uncovered {
    pub(super) unit: String,
    pub(super) kind: Kind,
    pub(super) reason: String,
    /// How the image starts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started_by: Option<String>,
    /// Whether --strict ends with 1 for it.
    pub(super) finding: bool,
}

/// The services to derive for, and the rest.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    pub(super) wanted: Vec<String>,
    pub(super) uncovered: Vec<Uncovered>,
    started: BTreeMap<String, String>,
}

/// A template whose pattern matches the instance.
pub(super) fn wider(unit: &str) -> Option<String> {
    template_of(unit).filter(|t| t != unit)
}

/// Judges each service. `base`: the packages whose word counts. `named`: the units that were asked for.
pub(super) fn judge(
    root: &Root,
    base: Option<&Database>,
    census: Census,
    named: Option<&Vec<String>>,
    except: &[Pattern],
) -> Coverage {
    let mut out = Coverage { started: census.started, ..Coverage::default() };
    let excepted = |unit: &str| except.iter().any(|p| p.matches(unit.as_bytes()));
    for unit in out.started.keys().cloned().collect::<Vec<_>>() {
        let covered = |names: &Vec<String>| names.contains(&unit) || wider(&unit).is_some_and(|t| names.contains(&t));
        if named.is_some_and(covered) {
            continue;
        }
        let loaded = match Unit::load(root, &unit, &mut Vec::new()) {
            Err(UnitError::Masked { path, .. }) => {
                out.add(&unit, Kind::Masked, format!("masked by {path}"));
                continue;
            }
            Err(UnitError::Missing(_)) => {
                let from = out.started.get(&unit).cloned().unwrap_or_default();
                out.add(&unit, Kind::Absent, format!("{from} leads to no unit"));
                continue;
            }
            Err(e) => {
                out.add(&unit, Kind::Failed, e.to_string());
                continue;
            }
            Ok(loaded) => loaded,
        };
        let package = base.and_then(|db| db.owner(&loaded.fragment)).filter(|p| p.is_base());
        if let Some(reason) = own::reason(root, &loaded) {
            out.add(&unit, Kind::System, reason);
        } else if let Some(package) = package {
            out.add(&unit, Kind::System, format!("is of package {}, part of the base system", package.name));
        } else if excepted(&unit) {
            out.add(&unit, Kind::Excepted, "left out by --except".to_owned());
        } else if named.is_some() {
            out.add(&unit, Kind::NotNamed, "not named by --unit".to_owned());
        } else {
            out.wanted.push(unit);
        }
    }
    for (unit, reason) in census.idle {
        let asked =
            |names: &Vec<String>| names.contains(&unit) || names.iter().any(|n| wider(n).as_ref() == Some(&unit));
        if !named.is_some_and(asked) {
            out.add(&unit, Kind::Idle, reason);
        }
    }
    for unnamed in census.unnamed {
        let kind = match unnamed.way {
            _ if excepted(&unnamed.what) => Kind::Excepted,
            Way::Generator => Kind::Generator,
            Way::InitScript => Kind::InitScript,
            Way::Bus => Kind::Bus,
            Way::Device => Kind::Device,
            Way::User => Kind::User,
            Way::RunTime => Kind::RunTime,
        };
        out.add(&unnamed.what, kind, unnamed.reason);
    }
    out
}

impl Coverage {
    pub(super) fn add(&mut self, unit: &str, kind: Kind, reason: String) {
        let started_by = self.started.get(unit).cloned();
        self.uncovered.push(Uncovered { unit: unit.to_owned(), kind, reason, started_by, finding: kind.is_finding() });
    }

    /// How many things --strict does not take.
    pub(super) fn findings(&self) -> usize {
        self.uncovered.iter().filter(|u| u.finding).count()
    }

    /// Says what has no profile: each with its reason where it matters, many of one reason in a line.
    pub(super) fn tell(&mut self, out: &mut Out) {
        self.uncovered.sort_by(|a, b| (a.kind, &a.unit, &a.reason).cmp(&(b.kind, &b.unit, &b.reason)));
        let mut lines: BTreeMap<(Kind, String), BTreeSet<&str>> = BTreeMap::new();
        for u in &self.uncovered {
            match u.kind {
                Kind::System | Kind::NotNamed | Kind::Idle | Kind::Excepted => {
                    let reason = match u.kind {
                        Kind::System => format!("left alone, as each {}", u.reason),
                        Kind::Idle => "without a profile, as nothing in the image starts them".to_owned(),
                        Kind::NotNamed => "without a profile, as --unit does not name them".to_owned(),
                        _ => u.reason.clone(),
                    };
                    lines.entry((u.kind, reason)).or_default().insert(&u.unit);
                }
                Kind::RunTime => out.note(format!("not known: {}: {}", u.unit, u.reason)),
                Kind::Masked | Kind::Absent => out.note(format!("skipped {}: {}", u.unit, u.reason)),
                _ => {
                    let started = u.started_by.as_ref().map(|s| format!(" ({s})")).unwrap_or_default();
                    out.note(format!("no profile for {}: {}{started}", u.unit, u.reason));
                }
            }
        }
        for ((kind, reason), units) in lines {
            let shown = if kind == Kind::Idle { SHOWN } else { units.len() };
            let names: Vec<&str> = units.iter().copied().take(shown).collect();
            let more = match units.len() - names.len() {
                0 => String::new(),
                n => format!(" and {n} more, which --format json lists"),
            };
            out.note(format!("{reason}: {}{more}", names.join(", ")));
        }
    }
}
