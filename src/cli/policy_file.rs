//! A policy as commands take it: PDL, or tables that were compiled before.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

use super::out::Fail;
use super::sign::read_bounded;
use super::sources::{self, Files};
use super::{Out, proof};
use crate::abi::Tables;
use crate::abi::tables::MAX_FILE as MAX_TABLES;
use crate::compile::{self, CompileError, KernelVersion};
use crate::pdl::MAX_FILE as MAX_PDL;
use crate::policy;

/// A policy that is ready to be signed.
pub(super) struct PolicyFile {
    /// The tables file.
    pub tables: Vec<u8>,
    /// Its source, if that was given.
    pub source: Option<String>,
}

/// Reads a policy, compiling it where it is PDL.
pub(super) fn load(path: &Path, serial: u64, kernel: KernelVersion, out: &mut Out) -> anyhow::Result<PolicyFile> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(8).read_to_end(&mut head).with_context(|| format!("cannot read {}", path.display()))?;
    if head == *b"KILNTAB1" {
        let bytes = read_bounded(path, MAX_TABLES as u64)?;
        let tables = Tables::read(&bytes).with_context(|| path.display().to_string())?;
        proof::prove(&tables).with_context(|| path.display().to_string())?;
        return Ok(PolicyFile { tables: bytes, source: None });
    }
    let source = sources::read(path)?;
    let text = source.text.to_string();
    let loaded = policy::load_with_warnings(&[source], &Files).map_err(|found| Fail {
        code: 2,
        message: format!("{} is not in order\n{}", path.display(), found.render(out.color()).trim_end()),
    })?;
    let digest = policy::digest(&loaded.policy);
    let tables = compile::compile(&loaded.policy, &compile::Options { policy: digest, serial, kernel });
    let tables = tables.map_err(|error| match &error {
        CompileError::Gaps(gaps) => {
            let lines: Vec<String> = gaps
                .iter()
                .map(|gap| {
                    let place = gap.origin.iter().chain(&gap.rule).map(|text| format!(", {text}")).collect::<String>();
                    format!("\n  {}{place}: {}; {}", gap.block, gap.reason, gap.mend)
                })
                .collect();
            anyhow::anyhow!("{}: {error}{}", path.display(), lines.concat())
        }
        _ => anyhow::Error::new(error).context(path.display().to_string()),
    })?;
    let mut tables = tables;
    proof::relate(&mut tables.metadata, path);
    Ok(PolicyFile { tables: tables.to_bytes()?, source: Some(text) })
}

/// Reads a file of text, no longer than PDL can be.
pub(super) fn read_text(path: &Path) -> anyhow::Result<String> {
    let bytes = read_bounded(path, MAX_PDL as u64)?;
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{} is not UTF-8 text", path.display()))
}

/// Reads the source of tables that were compiled before, which must be their policy.
pub(super) fn source_of(tables: &[u8], path: &Path, out: &mut Out) -> anyhow::Result<String> {
    let source = sources::read(path)?;
    let text = source.text.to_string();
    let loaded = policy::load_with_warnings(&[source], &Files).map_err(|found| Fail {
        code: 2,
        message: format!("{} is not in order\n{}", path.display(), found.render(out.color()).trim_end()),
    })?;
    proof::same(&Tables::read(tables)?, path, policy::digest(&loaded.policy))?;
    Ok(text)
}

/// The oldest kernel that the image can boot, as far as it matters to the compiler.
pub(super) fn oldest_kernel(target: &Path, partition: Option<u32>) -> KernelVersion {
    let kernels = crate::bake::open(target, partition).and_then(|image| crate::bake::kernel::kernels(&*image));
    // What cannot be read is refused by the bake itself, with its reason.
    let versions = kernels.unwrap_or_default().into_iter().map(|k| k.release.parse::<KernelVersion>());
    versions.map(|v| v.unwrap_or(KernelVersion::BASELINE)).min().unwrap_or(KernelVersion::BASELINE)
}
