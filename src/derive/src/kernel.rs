//! Kernel facilities: the change of user of nginx's workers, and executable memory for a regular expression compiler.

use kiln_base::model::KernelOp;

use super::rule::Rule;
use crate::manifest::ServiceFacts;

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    let Some(nginx) = &facts.nginx else { return };
    if let Some((_, origin)) = &nginx.user {
        out.push(Rule::kernel(KernelOp::Setuid, origin));
    }
    if let Some(origin) = &nginx.jit {
        out.push(Rule::kernel(KernelOp::ExecMemory, origin));
    }
}
