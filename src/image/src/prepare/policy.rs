//! A policy from a file: PDL, which is compiled, or tables that were compiled before, which are proven.

use std::io::Read;
use std::path::{Path, PathBuf};

use kiln_base::abi::tables::MAX_FILE as MAX_TABLES;
use kiln_base::abi::{Tables, TablesError};
use kiln_lang::compile::{self, CompileError, Image, KernelVersion};
use kiln_lang::pdl::{Diagnostics, MAX_FILE as MAX_PDL, Source};
use kiln_lang::policy::{self, Loaded};

use super::file::{FileError, read_bounded};
use super::proof::{self, ProofError};
use super::source::{self, Files, SourceError};
use crate::bake;

/// A policy that is ready to be signed.
#[derive(Debug)]
pub struct PolicyFile {
    /// The tables file.
    pub tables: Vec<u8>,
    /// Its source, if that was given.
    pub source: Option<String>,
}

/// A file that does not give a policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The PDL cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tables in it are damaged.
    #[error("{}", path.display())]
    Tables {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TablesError,
    },
    /// The tables in it are not what they say.
    #[error("{}", path.display())]
    Unproven {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: ProofError,
    },
    /// The PDL in it is refused.
    #[error("{}", refused(path, found, false))]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: Box<Diagnostics>,
    },
    /// The kernel cannot enforce some of it.
    #[error("{}: {error}{}", path.display(), gaps(error))]
    Gaps {
        /// The file.
        path: PathBuf,
        /// What cannot be enforced.
        error: CompileError,
    },
    /// It does not become tables for another reason.
    #[error("{}", path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CompileError,
    },
    /// The tables are refused by their own reader.
    #[error(transparent)]
    Unreadable(#[from] TablesError),
    /// The source beside tables is another policy's.
    #[error(transparent)]
    Another(#[from] ProofError),
    /// Labels and names are those of another image.
    #[error("{} was compiled for an image with other labels or another name; compile it for this one", .0.display())]
    OtherImage(PathBuf),
    /// Not text.
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
}

impl PolicyError {
    /// What is wrong with the PDL, drawn; `None` where something else is wrong.
    pub fn diagnostics(&self, fancy: bool) -> Option<String> {
        match self {
            PolicyError::Refused { path, found } => Some(refused(path, found, fancy)),
            _ => None,
        }
    }
}

fn refused(path: &Path, found: &Diagnostics, fancy: bool) -> String {
    format!("{} is not in order\n{}", path.display(), found.render(fancy).trim_end())
}

/// Each gap in a line of its own.
fn gaps(error: &CompileError) -> String {
    let CompileError::Gaps(gaps) = error else { return String::new() };
    let line = |gap: &compile::Gap| {
        let place = gap.origin.iter().chain(&gap.rule).map(|text| format!(", {text}")).collect::<String>();
        format!("\n  {}{place}: {}; {}", gap.block, gap.reason, gap.mend)
    };
    gaps.iter().map(line).collect()
}

/// Reads a policy, compiling it where it is PDL: for these users, and for an image, where one is given. Tables must then be
/// of that image.
///
/// # Errors
/// [`PolicyError`]; so for all below.
pub fn load(path: &Path, serial: u64, kernel: KernelVersion, image: Image<'_>) -> Result<PolicyFile, PolicyError> {
    let mut head = Vec::new();
    let unreadable = |source| FileError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(8).read_to_end(&mut head).map_err(unreadable)?;
    if head == *b"KILNTAB1" {
        let bytes = read_bounded(path, MAX_TABLES as u64)?;
        let tables = Tables::read(&bytes).map_err(|source| PolicyError::Tables { path: path.to_owned(), source })?;
        proof::prove(&tables).map_err(|source| PolicyError::Unproven { path: path.to_owned(), source })?;
        if let (Some(image), Some(compiled_for)) = (image.info, &tables.metadata.image)
            && image != compiled_for
        {
            return Err(PolicyError::OtherImage(path.to_owned()));
        }
        return Ok(PolicyFile { tables: bytes, source: None });
    }
    let source = source::read(path)?;
    let text = source.text.to_string();
    let loaded = taken(path, source)?;
    let digest = policy::digest(&loaded.policy);
    let options = compile::Options { policy: digest, serial, kernel };
    let tables = compile::compile_for(&loaded.policy, &options, image);
    let mut tables = tables.map_err(|error| match error {
        CompileError::Gaps(_) => PolicyError::Gaps { path: path.to_owned(), error },
        source => PolicyError::Compile { path: path.to_owned(), source },
    })?;
    proof::relate(&mut tables, path);
    Ok(PolicyFile { tables: tables.to_bytes()?, source: Some(text) })
}

fn taken(path: &Path, source: Source) -> Result<Loaded, PolicyError> {
    policy::load_with_warnings(&[source], &Files)
        .map_err(|found| PolicyError::Refused { path: path.to_owned(), found: Box::new(found) })
}

/// Reads a file of text, no longer than PDL can be.
///
/// # Errors
/// As above.
pub fn read_text(path: &Path) -> Result<String, PolicyError> {
    let bytes = read_bounded(path, MAX_PDL as u64)?;
    String::from_utf8(bytes).map_err(|_| PolicyError::NotText(path.to_owned()))
}

/// Reads the source of tables that were compiled before, which must be their policy.
///
/// # Errors
/// As above.
pub fn source_of(tables: &[u8], path: &Path) -> Result<String, PolicyError> {
    let source = source::read(path)?;
    let text = source.text.to_string();
    let loaded = taken(path, source)?;
    proof::same(&Tables::read(tables)?, path, policy::digest(&loaded.policy))?;
    Ok(text)
}

/// The oldest kernel that the image can boot, as far as it matters to the compiler.
pub fn oldest_kernel(target: &Path, partition: Option<u32>) -> KernelVersion {
    let kernels = bake::open(target, partition).and_then(|image| bake::kernel::kernels(&*image));
    // What cannot be read is refused by the bake itself, with its reason.
    let versions = kernels.unwrap_or_default().into_iter().map(|k| k.release.parse::<KernelVersion>());
    versions.map(|v| v.unwrap_or(KernelVersion::BASELINE)).min().unwrap_or(KernelVersion::BASELINE)
}
