//! Which blocks a task falls under.

use super::super::glob::Matcher;
use super::super::normal::{Selector, SelectorKey};
use super::error::EvalError;
use super::request::Task;

/// The blocks of a task, by their place in the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// At most one.
    pub profile: Option<usize>,
    /// All that match.
    pub guards: Vec<usize>,
}

impl Attachment {
    /// All blocks, the profile first.
    pub fn blocks(&self) -> impl Iterator<Item = usize> + '_ {
        self.profile.iter().chain(&self.guards).copied()
    }
}

/// Selectors that all must match: a `subject` line or a `by`.
#[derive(Debug)]
pub(super) struct Line {
    selectors: Vec<(SelectorKey, Matcher)>,
}

impl Line {
    pub(super) fn new(selectors: &[Selector], origin: &str) -> Result<Line, EvalError> {
        let compile = |s: &Selector| Matcher::new(&s.pattern.0).map(|m| (s.key, m));
        let selectors = selectors.iter().map(compile).collect::<Result<_, _>>();
        Ok(Line { selectors: selectors.map_err(|source| EvalError::Glob { origin: origin.to_owned(), source })? })
    }

    pub(super) fn matches(&self, task: &Task) -> bool {
        self.selectors.iter().all(|(key, pattern)| {
            let one = |value: &Option<String>| value.as_ref().is_some_and(|v| pattern.matches(v.as_bytes()));
            match key {
                SelectorKey::Exec => one(&task.exec),
                SelectorKey::Image => one(&task.image),
                SelectorKey::Unit => one(&task.unit),
                SelectorKey::User => one(&task.user),
                SelectorKey::Host => pattern.matches(task.host.as_deref().unwrap_or("").as_bytes()),
                SelectorKey::Label => task.labels.iter().any(|l| pattern.matches(l.as_bytes())),
            }
        })
    }

    /// The most specific key; less is more specific.
    pub(super) fn rank(&self) -> Option<SelectorKey> {
        self.selectors.iter().map(|(key, _)| *key).min()
    }
}
