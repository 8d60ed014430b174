//! Which services an image starts, and what it starts that no unit file says.
//!
//! A service runs because a link wants it, because another unit names it, because a socket, timer, path, device or
//! D-Bus name activates it, because a generator makes it, or because the first boot enables it. The walk follows all of
//! these from whatever has a link, whether or not the unit that has the link is started itself: rather one service too
//! many than one too few.

mod activation;
mod first_boot;
mod generators;
mod init_scripts;
mod user;
mod walk;

pub use walk::{Census, Unnamed, Way};

use std::collections::{BTreeMap, BTreeSet};

use super::index::Index;
use super::name::{DIRECTORIES, is_template, is_unit_name, template_of};
use super::specifier;
use super::unit::{Unit, UnitError};
use crate::manifest::root::{Root, RootError};
use walk::Walk;

/// Settings of `[Unit]` that start another unit.
const STARTING: [&str; 6] = ["Wants", "Requires", "BindsTo", "Upholds", "OnFailure", "OnSuccess"];

/// Reads an image.
pub fn read(root: &Root) -> Result<Census, RootError> {
    let mut walk = Walk {
        root,
        files: BTreeSet::new(),
        todo: Vec::new(),
        seen: BTreeSet::new(),
        also: BTreeMap::new(),
        census: Census::default(),
    };
    walk.links()?;
    first_boot::enabled(&mut walk);
    activation::seeds(&mut walk)?;
    generators::seeds(&mut walk)?;
    init_scripts::seeds(&mut walk);
    user::seeds(&mut walk);
    while let Some((name, cause)) = walk.todo.pop() {
        walk.follow(&name, cause);
    }
    user::services(&mut walk);
    walk.run_time();
    walk.idle();
    let mut census = walk.census;
    // All instances are more than one.
    let wide: BTreeSet<String> = census.started.keys().filter(|n| is_template(n)).cloned().collect();
    census.started.retain(|name, _| is_template(name) || !template_of(name).is_some_and(|t| wide.contains(&t)));
    census.unnamed.sort();
    census.unnamed.dedup();
    Ok(census)
}

impl Walk<'_> {
    /// Every link in `.wants`, `.requires` and `.upholds`; notes the unit files on the way.
    fn links(&mut self) -> Result<(), RootError> {
        for directory in DIRECTORIES {
            let entries = match self.root.entries(directory) {
                Err(e) if e.is_not_found() => continue,
                other => other?,
            };
            for (name, _) in entries {
                if [".wants", ".requires", ".upholds"].iter().any(|s| name.ends_with(s)) {
                    let folder = format!("{directory}/{name}");
                    for unit in self.entries(&folder) {
                        self.seed(unit.clone(), format!("{folder}/{unit}"));
                    }
                } else if is_unit_name(&name) {
                    if name == "default.target" {
                        self.seed(name.clone(), format!("{directory}/{name}"));
                    }
                    self.files.insert(name);
                }
            }
        }
        Ok(())
    }

    /// Takes a unit as started, and what it starts.
    fn follow(&mut self, name: &str, cause: String) {
        // Known already: another name of a unit is not a reason to read it again.
        if self.seen.contains(&Index::of(self.root).main(name)) {
            return;
        }
        let unit = match Unit::load(self.root, name, &mut Vec::new()) {
            Ok(unit) => unit,
            // Units name others that need not be there; a link to nothing is worth a word.
            Err(UnitError::Missing(_)) if !cause.starts_with('/') => return,
            Err(_) => {
                // Masked, missing or unreadable: derivation says so.
                if name.ends_with(".service") && self.seen.insert(name.to_owned()) {
                    self.census.started.insert(name.to_owned(), cause);
                }
                return;
            }
        };
        if !self.seen.insert(unit.name.clone()) {
            return;
        }
        if unit.name.ends_with(".service") {
            self.census.started.insert(unit.name.clone(), cause);
        }
        for key in STARTING {
            for entry in unit.list("Unit", key) {
                for word in entry.value.split_whitespace() {
                    let cause = format!("{key}= of {} ({})", unit.name, entry.origin);
                    dependency(word, &unit.name).into_iter().for_each(|n| self.seed(n, cause.clone()));
                }
            }
        }
        for entry in unit.list("Install", "Also") {
            for word in entry.value.split_whitespace() {
                let named = dependency(word, &unit.name).into_iter();
                self.also.extend(named.map(|n| (n, entry.origin.clone())));
            }
        }
        if let Some((service, cause)) = activation::activated(&unit) {
            self.seed(service, cause);
        }
    }

    /// What every running systemd can be asked for.
    fn run_time(&mut self) {
        if self.files.iter().any(|f| f.ends_with(".service")) {
            let reason = "a process that may talk to systemd can start a unit that has no file (systemd-run, logind's \
                          sessions, container engines); bind its program by `subject exec`";
            self.unnamed("run-*.service, *.scope", Way::RunTime, reason);
        }
    }

    /// The rest of the unit files.
    fn idle(&mut self) {
        let started = &self.census.started;
        let templates: BTreeSet<String> = started.keys().filter_map(|s| template_of(s)).collect();
        for name in self.files.iter().filter(|n| n.ends_with(".service")) {
            // An alias is told by its own name; a template of which instances start is not idle.
            let alias = Index::of(self.root).main(name) != *name;
            if alias || started.contains_key(name) || templates.contains(name) {
                continue;
            }
            if Unit::load(self.root, name, &mut Vec::new()).is_err() {
                continue;
            }
            let reason = match self.also.get(name) {
                Some(origin) => {
                    format!("nothing in the image starts it: Also= ({origin}) works only when it is enabled")
                }
                None => "nothing in the image starts it".to_owned(),
            };
            self.census.idle.insert(name.clone(), reason);
        }
    }
}

/// The unit that a word of a dependency names. Within a template the instance is open: the name is that of a template
/// where it depends on it.
fn dependency(word: &str, unit: &str) -> Option<String> {
    const OPEN: &str = "\u{1}";
    let known = if is_template(unit) { unit.replacen("@.", &format!("@{OPEN}."), 1) } else { unit.to_owned() };
    let name = specifier::expand(word, &known).ok()?;
    let name = if name.contains(OPEN) {
        let (prefix, rest) = name.split_once('@').filter(|(prefix, _)| !prefix.contains(OPEN))?;
        format!("{prefix}@.{}", rest.rsplit_once('.')?.1)
    } else {
        name
    };
    is_unit_name(&name).then_some(name)
}

#[cfg(test)]
mod tests;
