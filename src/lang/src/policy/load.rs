//! Texts in, checked normal form out.

use crate::pdl::{Diagnostics, Loader, Source};

use super::check;
use super::normal::Policy;
use super::resolve::{BlockPlaces, Resolver};

/// A policy and what is doubtful about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checked normal form.
    pub policy: Policy,
    /// Warnings only.
    pub warnings: Diagnostics,
    /// Where its blocks were written, in their order.
    pub(crate) places: Vec<BlockPlaces>,
}

/// Parses, resolves and checks the sources as one policy: the blocks of all of them and of the files that they import.
pub fn load(sources: &[Source], loader: &dyn Loader) -> Result<Policy, Diagnostics> {
    load_with_warnings(sources, loader).map(|loaded| loaded.policy)
}

/// As [`load`], with the warnings of a policy that is taken.
pub fn load_with_warnings(sources: &[Source], loader: &dyn Loader) -> Result<Loaded, Diagnostics> {
    let mut resolver = Resolver::new(loader);
    let roots: Vec<usize> = sources.iter().map(|source| resolver.root(source.clone())).collect();
    let (policy, places) = resolver.policy(&roots);
    let whole = resolver.within_bounds();
    let mut found = resolver.finish();
    if whole {
        check::check(&policy, &places, &mut found);
    }
    found.sort();
    if found.has_errors() { Err(found) } else { Ok(Loaded { policy, warnings: found, places }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdl::NoFiles;

    #[test]
    fn the_samples_load() {
        let text = include_str!("../../../../tests/corpus/pdl/ok/samples.pdl");
        let policy =
            load(&[Source::new("samples.pdl", text)], &NoFiles).unwrap_or_else(|e| panic!("{}", e.render(false)));
        assert_eq!(
            policy.blocks.iter().map(|b| &*b.name).collect::<Vec<_>>(),
            ["nginx", "settlement", "host_integrity"]
        );
        println!("{}", super::super::to_pdl(&policy));
        let again = load(&[Source::new("samples.pdl", &super::super::to_pdl(&policy))], &NoFiles);
        assert_eq!(super::super::to_pdl(&again.unwrap()), super::super::to_pdl(&policy));
    }
}
