//! The policy of all modules, and what of them nothing uses.

use std::collections::BTreeMap;

use crate::pdl::{Code, Diagnostic};

use super::super::normal::{BlockKind, Policy};
use super::block::Source;
use super::{BlockPlaces, Place, Resolver};

impl Resolver<'_> {
    /// The policy of the given modules and all that they import.
    pub(in crate::policy) fn policy(&mut self, _roots: &[usize]) -> (Policy, Vec<BlockPlaces>) {
        let mut blocks = Vec::new();
        let mut taken: BTreeMap<(BlockKind, String), Place> = BTreeMap::new();
        for module in 0..self.modules.len() {
            let (ast, file) = (self.modules[module].ast.clone(), self.modules[module].file);
            let profiles = ast.profiles().map(Source::Profile);
            let guards = ast.guards().map(Source::Guard);
            for source in profiles.chain(guards) {
                let (block, places) = self.block(module, &source);
                let previous = taken.insert((block.kind, block.name.clone()), places.name.clone());
                if let Some(previous) = previous.filter(|_| !block.name.is_empty()) {
                    let error = Diagnostic::error(
                        Code::Duplicate,
                        file,
                        places.name.span.clone(),
                        format!("`{}` is defined twice", block.name),
                    );
                    self.found.push(
                        error
                            .because("a policy has one block of each kind with this name")
                            .mend("rename one, or merge the two")
                            .see(previous.file, previous.span, "first defined here"),
                    );
                    continue;
                }
                blocks.push((block, places));
            }
        }
        blocks.sort_by(|(a, _), (b, _)| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        self.unused();
        let (blocks, places) = blocks.into_iter().unzip();
        let windows = std::mem::take(&mut self.windows).into_iter().map(|(name, (window, _))| (name, window)).collect();
        (Policy { edition: 1, windows, blocks }, places)
    }

    /// Warns about definitions that nothing uses.
    fn unused(&mut self) {
        for m in self.modules.iter().filter(|m| !m.standard) {
            for ((what, name), span) in m.defined.iter().filter(|(key, _)| !m.used.contains(*key)) {
                // What a file without blocks defines is for those who import it.
                if *what != "import" && m.ast.profiles().next().is_none() && m.ast.guards().next().is_none() {
                    continue;
                }
                self.found.push(
                    Diagnostic::warning(
                        Code::Unused,
                        m.file,
                        span.clone(),
                        format!("the {what} `{name}` is never used"),
                    )
                    .because("nothing refers to it")
                    .mend("remove it, or use it"),
                );
            }
        }
    }
}
