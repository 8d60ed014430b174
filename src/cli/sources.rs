//! Policies from files: what commands say of them.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::out::Fail;
use super::{Exit, Format, Out};
use crate::pdl::{Diagnostics, Record, Source};
use crate::policy::{self, Loaded};
use crate::prepare::{PolicyError, source};

pub use crate::prepare::source::Files;

/// Reads one file, `-` for standard input; never more than the language takes.
pub fn read(path: &Path) -> anyhow::Result<Source> {
    Ok(source::read(path)?)
}

/// Loads files as one policy. What is wrong is printed; `None` means that it was.
pub fn load(files: &[PathBuf], out: &mut Out) -> anyhow::Result<Option<Loaded>> {
    let sources = files.iter().map(|f| read(f)).collect::<anyhow::Result<Vec<_>>>()?;
    match policy::load_with_warnings(&sources, &Files) {
        Ok(loaded) => {
            if out.format() == Format::Text {
                report(&loaded.warnings, out)?;
            }
            Ok(Some(loaded))
        }
        Err(found) => {
            report(&found, out)?;
            Ok(None)
        }
    }
}

/// What is wrong with a policy, for machines.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether the policy is taken.
    pub ok: bool,
    /// How many errors.
    pub errors: usize,
    /// How many warnings.
    pub warnings: usize,
    /// How many more there are than are listed.
    pub omitted: usize,
    /// Each.
    pub diagnostics: Vec<Record>,
}

impl Report {
    /// Of these diagnostics.
    pub fn new(found: &Diagnostics) -> Report {
        let errors = found.iter().filter(|d| d.level == crate::pdl::Level::Error).count();
        Report {
            ok: !found.has_errors(),
            errors,
            warnings: found.len() - errors,
            omitted: found.omitted,
            diagnostics: found.records(),
        }
    }
}

/// Prints diagnostics: drawn on standard error, or as JSON on standard output.
pub fn report(found: &Diagnostics, out: &mut Out) -> anyhow::Result<()> {
    match out.format() {
        Format::Json => out.json(&Report::new(found))?,
        Format::Text if found.is_empty() => {}
        Format::Text => out.note(found.render(out.color()).trim_end()),
    }
    Ok(())
}

/// How a command ends whose policy was refused.
pub const REFUSED: anyhow::Result<Exit> = Ok(Exit::BadInput);

/// An error as a command tells it: what is wrong with a policy is drawn, in colour where that is wanted.
pub(super) fn told(error: PolicyError, out: &Out) -> anyhow::Error {
    match error.diagnostics(out.color()) {
        Some(message) => Fail { code: 2, message }.into(),
        None => error.into(),
    }
}
