//! What a backend did.

use super::undo::Undo;

/// What one backend did.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub applied: bool,
    pub failures: Vec<String>,
    pub details: Vec<String>,
    pub undo: Vec<Undo>,
}

impl Done {
    pub fn detail(mut self, text: impl Into<String>) -> Done {
        self.details.push(text.into());
        self
    }

    pub fn failed(text: impl Into<String>) -> Done {
        Done { failures: vec![text.into()], ..Done::default() }
    }
}
