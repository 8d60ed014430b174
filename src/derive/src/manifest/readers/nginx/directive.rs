//! The directive tree.

use crate::manifest::Origin;

/// One directive, its block included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its name.
    pub name: String,
    /// Its words.
    pub args: Vec<String>,
    /// What its block holds, includes spliced in; empty without a block.
    pub block: Vec<Directive>,
    /// Where it stands.
    pub origin: Origin,
}

impl Directive {
    /// The first word.
    pub fn arg(&self) -> Option<&str> {
        self.args.first().map(String::as_str)
    }
    /// Whether one of the words is `word`.
    pub fn has(&self, word: &str) -> bool {
        self.args.iter().any(|a| a == word)
    }
    /// The value of the parameter `key=VALUE`.
    pub fn value<'a>(&'a self, key: &str) -> Option<&'a str> {
        self.args.iter().find_map(|a| a.strip_prefix(key)?.strip_prefix('='))
    }
}
