//! Libraries: the closure of each program, its modules, and what glibc loads by name. Each by its own path, so that a
//! library put elsewhere is not loaded.

use kiln_base::model::Verb;

use super::rule::{Rule, Section};
use crate::manifest::{Library, Origin, PathFact, ServiceFacts};

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    for library in facts.programs.values().flat_map(|p| &p.libraries) {
        out.push(rule(library));
    }
    if facts.programs.values().any(|p| p.glibc) {
        out.extend(facts.image.modules.iter().map(rule));
    }
    for module in facts.declared.iter().flat_map(|d| &d.loads) {
        out.push(Rule::file(Section::Load, &[Verb::Read, Verb::Load], vec![module.glob()], &module.origin));
    }
}

pub(super) fn rule(library: &Library) -> Rule {
    // The kernel itself opens the loader at exec; the loader opens the rest as files.
    let interpreter = matches!(&library.origin, Origin::Elf { what, .. } if what.starts_with("PT_INTERP"));
    let verbs: &[Verb] = if interpreter { &[Verb::Load] } else { &[Verb::Read, Verb::Load] };
    Rule::file(Section::Load, verbs, vec![PathFact::quote(&library.path)], &library.origin)
}
