//! Programs: what the unit's command lines name, and the interpreters of scripts. Nothing else runs, no shell either.

use kiln_base::model::Verb;

use super::name::profile_name;
use super::rule::{Rule, Section};
use crate::manifest::{PathFact, ServiceFacts};

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    for program in facts.programs.values() {
        let path = PathFact::quote(&program.path);
        out.push(Rule::file(Section::Exec, &[Verb::Exec], vec![path.clone()], &program.origin));
        if program.script {
            // The interpreter opens the script as a file.
            out.push(Rule::file(Section::Read, &[Verb::Read], vec![path], &program.origin));
        }
    }
    let own = facts.commands.iter().filter(|c| facts.programs.contains_key(&c.program));
    for command in own {
        out.push(Rule::file(Section::Exec, &[Verb::Exec], vec![PathFact::quote(&command.program)], &command.origin));
    }
    let service = profile_name(&facts.unit.name);
    for helper in &facts.helpers {
        let name = super::helper::name(&service, helper);
        out.extend(helper.origins.iter().map(|origin| Rule::switch(&helper.shell, &name, origin)));
    }
}
