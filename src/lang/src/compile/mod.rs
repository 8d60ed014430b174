//! The normal form to tables, and what the target kernel cannot enforce. Pure.
//!
//! A subject is one combination of at most one profile and a set of guards. Each has one start in the path
//! automaton and one in the network automaton, so that one walk gives the joint decision of all its blocks.

mod calls;
mod decision;
mod emit;
mod error;
mod gap;
#[cfg(test)]
pub(crate) mod laws;
mod limit;
mod moment;
#[cfg(test)]
mod named;
mod names;
#[cfg(test)]
mod native;
mod options;
mod pack;
#[cfg(test)]
pub(crate) mod random;
mod rules;
mod subjects;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tightened;
#[cfg(test)]
mod timed;

#[cfg(test)]
#[path = "../../../../tests/support/decide.rs"]
mod decide;

pub use calls::call_filter;
pub use error::CompileError;
pub use gap::Gap;
pub use options::{KernelVersion, Options, ParseKernelError};

use kiln_base::abi::Tables;

use crate::policy::normal::Policy;

/// Compiles a policy. The same policy and options give the same tables.
pub fn compile(policy: &Policy, options: &Options) -> Result<Tables, CompileError> {
    let mut gaps = gap::find(policy, options.kernel);
    gaps.extend(calls::gaps(policy));
    limit::find(policy, &mut gaps);
    moment::check(policy)?;
    let plan = subjects::plan(policy, &mut gaps)?;
    if !gaps.is_empty() {
        return Err(CompileError::Gaps(gaps));
    }
    emit::emit(policy, options, plan)
}
