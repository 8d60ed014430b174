//! Why a policy does not become tables.

use kiln_base::abi::TablesError;

use super::gap::Gap;
use crate::automata::{GlobError, TooLarge};

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
    /// More windows than the tables have room for.
    #[error(
        "{} more than {most} windows{}; join windows that always hold together, or split the block",
        .of.as_ref().map_or("the policy has".to_owned(), |key| format!("subject `{key}` depends on")),
        if .of.is_some() { " and selectors of users" } else { "" }
    )]
    Windows {
        /// Most there can be.
        most: usize,
        /// The key of the subject; none: the policy.
        of: Option<String>,
    },
    /// More moments of subjects than there can be.
    #[error(
        "the policy's subjects differ at more than {0} moments and users in all; use fewer windows and users in guards of \
         many subjects"
    )]
    Moments(usize),
    /// More sets of patterns of host names than there can be tables.
    #[error("the policy tells more than {0} kinds of hosts apart; use fewer patterns after `host`")]
    Hosts(usize),
    /// More sets of names than the tables have room for.
    #[error("the policy's names of hosts make more than {0} sets; use fewer patterns that match the same names")]
    Names(usize),
    /// More of users than the tables have room for.
    #[error("the policy has more than {most} {what}; join them, or use fewer")]
    Users {
        /// Of what.
        what: &'static str,
        /// Most there can be.
        most: usize,
    },
    /// A glob that the checker should have refused.
    #[error("{origin}: {error}")]
    Glob {
        /// Where it stands.
        origin: String,
        /// What is wrong.
        error: GlobError,
    },
    /// The writer made tables that the reader refuses; a defect of Kiln.
    #[error("the compiler made wrong tables, which is a defect of Kiln; please report it with the policy: {0}")]
    Internal(#[from] TablesError),
}

fn count(n: usize) -> String {
    if n == 1 { "1 part".to_owned() } else { format!("{n} parts") }
}
