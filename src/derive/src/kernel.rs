//! Kernel facilities: the change of user, and what a configuration asks for.

use kiln_base::model::KernelOp;

use super::rule::Rule;
use crate::manifest::ServiceFacts;

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    let Some(declared) = &facts.declared else { return };
    if let Some((_, origin)) = &declared.user {
        out.push(Rule::kernel(KernelOp::Setuid, origin));
    }
    out.extend(declared.kernel.iter().map(|(op, origin)| Rule::kernel(*op, origin)));
}
