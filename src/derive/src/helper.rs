//! The profile of a shell that runs a text of the unit: its tools, and the paths that its text names. What the service's
//! own programs may do is not in it, and no shell is in theirs: one that they start lands here.

use kiln_base::model::Verb;
use serde::Serialize;

use super::load;
use super::name::profile_name;
use super::rule::{Rule, Section, tidy};
use super::write;
use crate::manifest::{Helper, Origin, PathFact, ServiceFacts};

/// A profile beside the unit's own.
#[derive(Debug, Clone, Serialize)]
pub struct HelperProfile {
    /// Its name in PDL.
    pub profile: String,
    /// The program that it is for, as a PDL glob.
    pub program: String,
    /// In the order of the text.
    pub rules: Vec<Rule>,
}

/// `nginx_dash`: the unit's profile and the shell.
pub(super) fn name(service: &str, helper: &Helper) -> String {
    let shell = helper.shell.rsplit('/').next().unwrap_or_default();
    let shell: String =
        shell.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' }).collect();
    format!("{service}_{shell}")
}

pub(super) fn profiles(facts: &ServiceFacts) -> Vec<HelperProfile> {
    let service = profile_name(&facts.unit.name);
    facts
        .helpers
        .iter()
        .map(|helper| HelperProfile {
            profile: name(&service, helper),
            program: PathFact::quote(&helper.shell),
            rules: tidy(rules(facts, helper, &service)),
        })
        .collect()
}

fn rules(facts: &ServiceFacts, helper: &Helper, service: &str) -> Vec<Rule> {
    let mut out = Vec::new();
    let read = |fact: &PathFact| Rule::file(Section::Read, &[Verb::Read], vec![fact.glob()], &fact.origin);
    for (program, origin) in &helper.starts {
        out.push(Rule::switch(program, service, origin));
    }
    for program in helper.programs.values() {
        let path = PathFact::quote(&program.path);
        // A rule that switches counts before one that does not.
        if !helper.starts.contains_key(&program.path) {
            out.push(Rule::file(Section::Exec, &[Verb::Exec], vec![path.clone()], &program.origin));
        }
        if program.script {
            out.push(Rule::file(Section::Read, &[Verb::Read], vec![path], &program.origin));
        }
        out.extend(program.libraries.iter().map(load::rule));
    }
    if helper.programs.values().any(|p| p.glibc) {
        out.extend(facts.image.glibc.iter().map(read));
        out.extend(facts.image.users.iter().map(read));
        out.extend(facts.image.modules.iter().map(load::rule));
    }
    out.extend(helper.reads.iter().map(read));
    for path in &helper.writes {
        let verbs = [Verb::Read, Verb::Modify, Verb::Create, Verb::Delete, Verb::Setattr];
        out.push(Rule::file(Section::Write, &verbs, vec![path.glob()], &path.origin));
    }
    write::by_unit(facts, &mut out, &mut Vec::new());
    let null = Origin::known("daemon(3)", "standard streams");
    out.push(Rule::file(Section::Write, &[Verb::Read, Verb::Modify], vec!["/dev/null".into()], &null));
    out
}
