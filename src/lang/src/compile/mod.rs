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
mod users;
#[cfg(test)]
mod whose;

#[cfg(test)]
#[path = "../../../../tests/support/decide.rs"]
mod decide;

pub use calls::call_filter;
pub use error::CompileError;
pub use gap::Gap;
pub use options::{KernelVersion, Options, ParseKernelError};
pub use users::Users;

use kiln_base::abi::Tables;

use users::Selectors;

use crate::policy::normal::Policy;

/// Compiles a policy. The same policy and options give the same tables. Users are known by their numbers only.
pub fn compile(policy: &Policy, options: &Options) -> Result<Tables, CompileError> {
    compile_for(policy, options, &Users::default())
}

/// Compiles a policy, where these users are known by their names.
pub fn compile_for(policy: &Policy, options: &Options, users: &Users) -> Result<Tables, CompileError> {
    let mut gaps = gap::find(policy, options.kernel);
    let selectors = Selectors::of(policy, users, &mut gaps)?;
    users::find(policy, &selectors, &mut gaps);
    gaps.extend(calls::gaps(policy));
    limit::find(policy, &mut gaps);
    moment::check(policy)?;
    let plan = subjects::plan(policy, &selectors, &mut gaps)?;
    if !gaps.is_empty() {
        return Err(CompileError::Gaps(gaps));
    }
    emit::emit(policy, options, &selectors, plan)
}
