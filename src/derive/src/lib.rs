//! Facts and obligations to policy; pure.
//!
//! One file per class of rules. Each rule names the fact that it follows from, so a reviewer can ask of every
//! permission where the image declares it; docs/derive.md is the table of which fact gives which rule.

mod accept;
mod bind;
mod capability;
mod connect;
mod exec;
mod helper;
mod kernel;
mod load;
pub mod manifest;
mod read;
mod rule;
mod text;
mod write;

use serde::Serialize;

pub use helper::HelperProfile;
pub use rule::{Rule, Section, What};
pub use text::{profile_name, render, subject};

use kiln_base::model::Mode;

use crate::manifest::{Note, ServiceFacts};

/// A derived profile.
#[derive(Debug, Clone, Serialize)]
pub struct Derived {
    /// Its name in PDL.
    pub profile: String,
    /// The unit that it is for; a template stands for all of its instances.
    pub unit: String,
    /// The pattern of its names.
    pub subject: String,
    /// Enforce, audit or learn.
    pub mode: Mode,
    /// In the order of the text.
    pub rules: Vec<Rule>,
    /// Shells of the unit, each with a profile of its own.
    pub helpers: Vec<HelperProfile>,
    /// What the reviewer should know.
    pub notes: Vec<Note>,
}

impl Derived {
    /// The names of its profiles: the service's own, and those of its shells.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.profile.as_str()).chain(self.helpers.iter().map(|h| h.profile.as_str()))
    }

    /// Gives it another name, and its shells names that begin with it.
    pub fn rename(&mut self, name: &str) {
        let old = std::mem::replace(&mut self.profile, name.to_owned());
        let renamed = |text: &str| match text.strip_prefix(old.as_str()) {
            Some(rest) => format!("{name}{rest}"),
            None => text.to_owned(),
        };
        for helper in &mut self.helpers {
            helper.profile = renamed(&helper.profile);
        }
        let rules = self.rules.iter_mut().chain(self.helpers.iter_mut().flat_map(|h| &mut h.rules));
        for rule in rules {
            if let What::Switch { profile, .. } = &mut rule.what {
                *profile = renamed(profile);
            }
        }
    }
}

/// The rules that the facts of a service give.
pub fn derive(facts: &ServiceFacts, mode: Mode, mut notes: Vec<Note>) -> Derived {
    let mut rules = Vec::new();
    exec::rules(facts, &mut rules);
    load::rules(facts, &mut rules);
    read::rules(facts, &mut rules);
    write::rules(facts, &mut rules, &mut notes);
    bind::rules(facts, &mut rules);
    accept::rules(facts, &mut rules);
    connect::rules(facts, &mut rules, &mut notes);
    capability::rules(facts, &mut rules, &mut notes);
    kernel::rules(facts, &mut rules);
    let helpers = helper::profiles(facts);
    notes.sort();
    notes.dedup();
    Derived {
        profile: profile_name(&facts.unit.name),
        unit: facts.unit.name.clone(),
        subject: subject(&facts.unit.name),
        mode,
        rules: rule::tidy(rules),
        helpers,
        notes,
    }
}
