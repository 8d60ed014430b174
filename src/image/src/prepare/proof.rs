//! Whether a tables file is what it says: its own text compiled again must give the same tables.

use std::path::{Component, Path, PathBuf};

use kiln_base::abi::{Metadata, Tables};
use kiln_base::model::Digest;
use kiln_lang::compile::{self, Image, Options, Users};
use kiln_lang::pdl::{NoFiles, Source};
use kiln_lang::policy;

/// A tables file whose parts do not belong together.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Its text is not a policy, or not in the one layout that it has.
    #[error("the tables' own text is not a policy as `kiln compile` writes it; compile the policy again")]
    Text,
    /// The digest is another policy's.
    #[error("the tables name policy {named}, but their text is policy {found}; compile the policy again")]
    Digest {
        /// In the metadata.
        named: Digest,
        /// Of the text.
        found: Digest,
    },
    /// Something is not what the text gives.
    #[error("{0} of the tables are not what their policy gives; compile the policy again")]
    Differs(&'static str),
    /// The source beside it is another policy.
    #[error("{path} is policy {found}, but the tables are policy {named}; compile the policy again, or give its own source",
        path = path.display())]
    Source {
        /// The source.
        path: PathBuf,
        /// In the metadata.
        named: Digest,
        /// Of the source.
        found: Digest,
    },
}

/// Proves that texts, digest, units and kernel part are one statement.
///
/// # Errors
/// The first part that is not what the text gives.
pub fn prove(tables: &Tables) -> Result<(), ProofError> {
    let metadata = &tables.metadata;
    let policy =
        policy::load(&[Source::new("policy.pdl", &metadata.source)], &NoFiles).map_err(|_| ProofError::Text)?;
    if policy::to_pdl(&policy) != metadata.source {
        return Err(ProofError::Text);
    }
    let found = policy::digest(&policy);
    if found != metadata.policy {
        return Err(ProofError::Digest { named: metadata.policy, found });
    }
    let kernel = metadata.kernel.parse().map_err(|_| ProofError::Differs("the kernel version"))?;
    let options = Options { policy: found, serial: metadata.serial, kernel };
    let users = Users::of_tables(metadata);
    let image = Image { users: &users, info: metadata.image.as_ref() };
    let again = compile::compile_for(&policy, &options, image).map_err(|_| ProofError::Differs("the rules"))?;
    let parts = |tables: &Tables| tables.all().map(|one| one.kernel.to_bytes()).collect::<Vec<_>>();
    if parts(&again) != parts(tables) {
        return Err(ProofError::Differs("the kernel's numbers"));
    }
    // Where a rule was written is a hint; all else counts.
    let placeless = |metadata: &Metadata| {
        let mut metadata = metadata.clone();
        metadata.rules.iter_mut().for_each(|rule| rule.origin.clear());
        metadata.blocks.iter_mut().flat_map(|block| &mut block.limits).for_each(|limit| limit.origin.clear());
        metadata
    };
    for (again, metadata) in again.all().zip(tables.all()).map(|(again, one)| (&again.metadata, &one.metadata)) {
        let limits = metadata.blocks.iter().flat_map(|block| &block.limits).map(|limit| &limit.origin);
        let mut origins = metadata.rules.iter().map(|rule| &rule.origin).chain(limits);
        let origins = origins.all(|origin| !origin.chars().any(char::is_control));
        if !origins || placeless(again) != placeless(metadata) {
            return Err(ProofError::Differs("the descriptions"));
        }
    }
    Ok(())
}

/// Proves that a source is the tables' policy.
///
/// # Errors
/// [`ProofError::Source`] where it is another.
pub fn same(tables: &Tables, path: &Path, found: Digest) -> Result<(), ProofError> {
    let named = tables.metadata.policy;
    if found == named { Ok(()) } else { Err(ProofError::Source { path: path.to_owned(), named, found }) }
}

/// Says where rules were written relative to the policy's file, so that how that was named does not count.
pub fn relate(tables: &mut Tables, main: &Path) {
    let here = std::env::current_dir().unwrap_or_default();
    let parts = |path: &Path| -> Vec<String> {
        let whole = super::source::tidy(&here.join(path));
        let part = |c: Component<'_>| c.as_os_str().to_string_lossy().into_owned();
        whole.components().map(part).collect()
    };
    let mut base = parts(main);
    base.pop();
    let others = tables.others.iter_mut().map(|other| &mut other.metadata);
    for rule in [&mut tables.metadata].into_iter().chain(others).flat_map(|metadata| &mut metadata.rules) {
        let Some((file, line)) = rule.origin.rsplit_once(':') else { continue };
        if file.starts_with('<') || file.starts_with("std/") {
            continue;
        }
        let path = parts(Path::new(file));
        let common = base.iter().zip(&path).take_while(|(a, b)| a == b).count();
        let up = std::iter::repeat_n("..".to_owned(), base.len() - common);
        let names: Vec<String> = up.chain(path[common..].iter().cloned()).collect();
        rule.origin = format!("{}:{line}", names.join("/"));
    }
}
