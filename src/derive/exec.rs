//! Programs: what the unit's command lines name, and the interpreters of scripts. Nothing else runs, no shell either.

use super::rule::{Rule, Section};
use crate::manifest::{PathFact, ServiceFacts};
use crate::model::Verb;

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    for program in facts.programs.values() {
        let path = PathFact::quote(&program.path);
        out.push(Rule::file(Section::Exec, &[Verb::Exec], vec![path.clone()], &program.origin));
        if program.script {
            // The interpreter opens the script as a file.
            out.push(Rule::file(Section::Read, &[Verb::Read], vec![path], &program.origin));
        }
    }
    for command in facts.commands.iter() {
        out.push(Rule::file(Section::Exec, &[Verb::Exec], vec![PathFact::quote(&command.program)], &command.origin));
    }
}
