//! What is derived for one unit.

use kiln_base::model::Mode;
use serde::Serialize;

use super::helper::HelperProfile;
use super::rule::{Rule, What};
use crate::manifest::Note;

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
