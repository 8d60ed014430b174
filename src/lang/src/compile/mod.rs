//! The normal form to tables, and what the target kernel cannot enforce. Pure.
//!
//! A subject is one combination of at most one profile and a set of guards. Each has one start in the path
//! automaton and one in the network automaton, so that one walk gives the joint decision of all its blocks.

mod calls;
mod decision;
mod emit;
mod error;
mod gap;
mod hosts;
#[cfg(test)]
pub(crate) mod laws;
mod limit;
mod lines;
#[cfg(test)]
mod machines;
mod moment;
#[cfg(test)]
mod named;
mod names;
#[cfg(test)]
mod native;
mod of_users;
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
pub use lines::absent;
pub use options::{KernelVersion, Options, ParseKernelError};
pub use users::Users;

use std::collections::BTreeSet;

use kiln_base::abi::Tables;
use kiln_base::abi::metadata::{ImageInfo, Metadata};

use lines::Machine;

use users::Selectors;

use crate::policy::normal::Policy;

/// What is known of the image for which a policy is compiled.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Its users.
    pub users: &'a Users,
    /// Its name and the labels of its units; none where there is no image.
    pub info: Option<&'a ImageInfo>,
}

/// Compiles a policy for any image. The same policy and options give the same tables. Users are known by their numbers
/// only.
///
/// # Errors
/// [`CompileError`].
pub fn compile(policy: &Policy, options: &Options) -> Result<Tables, CompileError> {
    compile_for(policy, options, Image { users: &Users::default(), info: None })
}

/// Compiles a policy for an image, which says what `label`, `image`, and names of users in it mean. Where the policy names
/// hosts by patterns, there are tables for each set of them that can match at once.
///
/// # Errors
/// [`CompileError`].
pub fn compile_for(policy: &Policy, options: &Options, image: Image<'_>) -> Result<Tables, CompileError> {
    moment::check(policy)?;
    let (mut gaps, mut made) = (Vec::new(), Vec::new());
    let hosts = hosts::of(policy)?;
    let none = BTreeSet::new();
    for hosts in std::iter::once(&none).chain(&hosts.sets) {
        match on_machine(policy, options, image.users, Machine { image: image.info, hosts }) {
            Ok(tables) => made.push(tables),
            Err(CompileError::Gaps(found)) => gaps.extend(found),
            Err(other) => return Err(other),
        }
    }
    gaps.extend(hosts::gaps(policy));
    if !gaps.is_empty() {
        let mut all = Vec::new();
        gaps.into_iter().for_each(|gap| {
            if !all.contains(&gap) {
                all.push(gap)
            }
        });
        return Err(CompileError::Gaps(all));
    }
    let first = made.remove(0);
    let metadata = Metadata { hosts: hosts.info, ..first.metadata };
    Ok(Tables::with(first.kernel, metadata, made)?)
}

/// The tables of a machine.
fn on_machine(policy: &Policy, options: &Options, users: &Users, machine: Machine<'_>) -> Result<Tables, CompileError> {
    let mut gaps = gap::find(policy, options.kernel);
    let selectors = Selectors::of(policy, users, &mut gaps)?;
    let lines = lines::of(policy, &selectors, machine, &mut gaps);
    of_users::find(policy, &lines, &mut gaps);
    gaps.extend(calls::gaps(policy));
    limit::find(policy, &mut gaps);
    let plan = subjects::plan(policy, (&selectors, lines), &mut gaps)?;
    if gaps.is_empty() {
        limit::lost(policy, &plan, &mut gaps);
    }
    if gaps.is_empty() { emit::emit(policy, options, &selectors, plan, machine) } else { Err(CompileError::Gaps(gaps)) }
}
