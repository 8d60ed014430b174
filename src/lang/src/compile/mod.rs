//! The normal form to tables, and what the target kernel cannot enforce. Pure.
//!
//! A subject is one combination of at most one profile and a set of guards. Each has one start in the path
//! automaton and one in the network automaton, so that one walk gives the joint decision of all its blocks.

mod decision;
mod emit;
mod gap;
#[cfg(test)]
pub(crate) mod laws;
#[cfg(test)]
mod native;
mod pack;
#[cfg(test)]
pub(crate) mod random;
mod rules;
mod subjects;
#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../../../../tests/support/decide.rs"]
mod decide;

use std::fmt;
use std::str::FromStr;

pub use gap::Gap;

use kiln_base::abi::{Tables, TablesError};
use kiln_base::model::Digest;

use crate::automata::TooLarge;
use crate::policy::normal::Policy;

/// A kernel release, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// 6 of 6.1.
    pub major: u16,
    /// 1 of 6.1.
    pub minor: u16,
}

impl KernelVersion {
    /// The oldest kernel that Kiln supports.
    pub const BASELINE: KernelVersion = KernelVersion { major: 6, minor: 1 };
    /// The newest kernel whose hooks are known.
    pub const NEWEST: KernelVersion = KernelVersion { major: 6, minor: 18 };
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Text that names no kernel that Kiln supports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a kernel version that Kiln supports; give one from {oldest} to {newest}, as in `--kernel {oldest}`",
    oldest = KernelVersion::BASELINE,
    newest = KernelVersion::NEWEST
)]
pub struct ParseKernelError(String);

impl FromStr for KernelVersion {
    type Err = ParseKernelError;
    /// Reads `6.1`; a patch level or suffix behind (`6.1.0-40-amd64`) is ignored.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let number = |part: Option<&str>| part.filter(|p| p.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
        let mut parts = s.split(['.', '-']);
        match (number(parts.next()), number(parts.next())) {
            (Some(major), Some(minor)) => Some(KernelVersion { major, minor }),
            _ => None,
        }
        .filter(|v| (KernelVersion::BASELINE..=KernelVersion::NEWEST).contains(v))
        .ok_or_else(|| ParseKernelError(s.chars().take(80).collect()))
    }
}

/// What the compiler is told beside the policy.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The digest by which the policy is known.
    pub policy: Digest,
    /// The version's serial.
    pub serial: u64,
    /// The oldest kernel that must enforce it.
    pub kernel: KernelVersion,
}

/// Why a policy does not become tables.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The kernel cannot enforce some of it.
    #[error("{} of the policy cannot be enforced by the kernel", count(.0.len()))]
    Gaps(Vec<Gap>),
    /// The globs or addresses need too large an automaton.
    #[error("the policy is too large for the kernel: {0}")]
    Automaton(#[from] TooLarge),
    /// The tables do not fit the kernel's map.
    #[error("the tables need {need} words and the kernel's map has {most}; split the policy or join similar rules")]
    Words {
        /// Words that are needed.
        need: usize,
        /// Words there are.
        most: usize,
    },
    /// More combinations of profile and guards than there can be.
    #[error("the policy's blocks combine to more than {0} subjects; let fewer guards attach by `exec` or `unit`")]
    Subjects(usize),
    /// A glob that the checker should have refused.
    #[error("{origin}: {error}")]
    Glob {
        /// Where it stands.
        origin: String,
        /// What is wrong.
        error: crate::automata::GlobError,
    },
    /// The writer made tables that the reader refuses; a defect of Kiln.
    #[error("the compiler made wrong tables, which is a defect of Kiln; please report it with the policy: {0}")]
    Internal(#[from] TablesError),
}

fn count(n: usize) -> String {
    if n == 1 { "1 part".to_owned() } else { format!("{n} parts") }
}

/// Compiles a policy. The same policy and options give the same tables.
pub fn compile(policy: &Policy, options: &Options) -> Result<Tables, CompileError> {
    let mut gaps = gap::find(policy, options.kernel);
    let plan = subjects::plan(policy, &mut gaps)?;
    if !gaps.is_empty() {
        return Err(CompileError::Gaps(gaps));
    }
    emit::emit(policy, options, plan)
}
