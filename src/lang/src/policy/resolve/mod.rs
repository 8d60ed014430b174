//! Typed trees to normal form: names looked up, abstractions expanded, values parsed. Whatever is wrong is said,
//! and resolving goes on with the rest.

mod block;
mod item;
mod modules;
mod object;
mod policy;
mod schedule;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use crate::pdl::ast;
use crate::pdl::{Code, Diagnostic, Diagnostics, FileId, Loader, Source};

use super::glob::Budget;
use super::normal::Window;
use item::{Item, ItemKind};

/// Rules, limits and uses of one policy, expanded, at most.
const MAX_STATEMENTS: usize = 100_000;
/// Paths, addresses, ports and names of one policy, expanded, at most.
const MAX_TERMS: usize = 1_000_000;
/// Abstractions within abstractions and imports within imports, at most.
const MAX_DEPTH: usize = 64;
/// Files of one policy, at most.
const MAX_FILES: usize = 1000;

/// Bytes of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub file: FileId,
    pub span: Range<usize>,
}

/// Where the parts of a block were written, for messages about the whole policy.
#[derive(Debug, Clone)]
pub(crate) struct BlockPlaces {
    /// The block's name.
    pub name: Place,
    /// The `subject` lines, as in the block.
    pub subjects: Vec<Place>,
    /// The objects of the rules, as in the block.
    pub rules: Vec<Place>,
    /// The objects of the `never` lines, as in the block.
    pub nevers: Vec<Place>,
    /// The `limit` lines, as in the block.
    pub limits: Vec<Place>,
}

/// One file: what it defines and imports.
struct Module {
    file: FileId,
    ast: ast::File,
    line_starts: Vec<usize>,
    /// Files given or imported by path contribute blocks and are warned about; `std/…` is not.
    standard: bool,
    imports: BTreeMap<String, usize>,
    lets: BTreeMap<String, Rc<Vec<Item>>>,
    windows: BTreeMap<String, ast::Window>,
    abstractions: BTreeMap<String, ast::Abstraction>,
    /// Where each of the above is defined, and as what.
    defined: BTreeMap<(&'static str, String), Range<usize>>,
    used: BTreeSet<(&'static str, String)>,
    /// Lets whose value was wrong: using them is no further mistake.
    poisoned: BTreeSet<String>,
}

/// Parameters of an abstraction, bound.
type Bindings = BTreeMap<String, Rc<Vec<Item>>>;

/// Where names are looked up.
#[derive(Clone, Copy)]
struct Scope<'b> {
    module: usize,
    params: Option<&'b Bindings>,
}

/// Everything known while resolving.
pub(super) struct Resolver<'l> {
    loader: &'l dyn Loader,
    modules: Vec<Module>,
    /// Modules by source name: a file is read once.
    by_name: BTreeMap<String, usize>,
    /// Modules that are being read, to find cycles.
    reading: Vec<String>,
    found: Diagnostics,
    windows: BTreeMap<String, (Window, Place)>,
    statements: usize,
    terms: usize,
    /// For finding out whether patterns match any path at all.
    budget: Budget,
    /// Uses of poisoned lets, about which nothing was said.
    silent: usize,
}

impl<'l> Resolver<'l> {
    pub(super) fn new(loader: &'l dyn Loader) -> Resolver<'l> {
        Resolver {
            loader,
            modules: Vec::new(),
            by_name: BTreeMap::new(),
            reading: Vec::new(),
            found: Diagnostics::default(),
            windows: BTreeMap::new(),
            statements: 0,
            terms: 0,
            budget: Budget::default(),
            silent: 0,
        }
    }

    /// Whether the policy is complete: what passes the bounds is left out, and then comparing the rest is of no use.
    pub(super) fn within_bounds(&self) -> bool {
        self.statements <= MAX_STATEMENTS && self.terms <= MAX_TERMS
    }

    pub(super) fn finish(self) -> Diagnostics {
        self.found
    }

    /// How many mistakes there are so far, those included about which nothing was said.
    fn mistakes(&self) -> usize {
        self.found.len() + self.found.omitted + self.silent
    }

    /// The place in a module as `file:line`.
    fn origin(&self, module: usize, byte: usize) -> String {
        let m = &self.modules[module];
        let line = m.line_starts.partition_point(|start| *start <= byte);
        format!("{}:{line}", self.found.sources[m.file].name)
    }

    fn error(
        &mut self,
        module: usize,
        code: Code,
        span: Range<usize>,
        message: impl Into<String>,
        why: &str,
        mend: impl Into<String>,
    ) {
        let file = self.modules[module].file;
        self.found.push(Diagnostic::error(code, file, span, message).because(why).mend(mend));
    }

    /// Counts towards the bounds; false, once said, when they are passed.
    fn count(&mut self, module: usize, span: Range<usize>, statements: usize, terms: usize) -> bool {
        let before = self.statements <= MAX_STATEMENTS && self.terms <= MAX_TERMS;
        self.statements = self.statements.saturating_add(statements);
        self.terms = self.terms.saturating_add(terms);
        let within = self.statements <= MAX_STATEMENTS && self.terms <= MAX_TERMS;
        if before && !within {
            let why = "a policy expands to at most 100,000 statements and 1,000,000 paths, addresses, ports and names";
            self.error(
                module,
                Code::TooMany,
                span,
                "the policy is too large",
                why,
                "use patterns, address blocks and port ranges",
            );
        }
        within
    }
}

/// An import's source that is empty, for where reading failed.
fn empty(name: &str) -> Source {
    Source::new(name, "")
}
