//! Facts and obligations to policy; pure.
//!
//! One file per class of rules. Each rule names the fact that it follows from, so a reviewer can ask of every
//! permission where the image declares it; docs/derive.md is the table of which fact gives which rule.

mod accept;
mod bind;
mod capability;
mod connect;
mod derived;
mod exec;
mod helper;
mod kernel;
mod load;
pub mod manifest;
mod name;
mod read;
mod rule;
mod text;
mod write;

pub use derived::Derived;
pub use helper::HelperProfile;
pub use name::{profile_name, subject};
pub use rule::{Rule, Section, What};
pub use text::render;

use kiln_base::model::Mode;

use crate::manifest::{Note, ServiceFacts};

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
