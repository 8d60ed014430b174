//! Policies from files: reading, imports, messages.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::{Exit, Format, Out};
use crate::pdl::{Diagnostics, LoadError, Loader, MAX_FILE, Record, Source};
use crate::policy::{self, Loaded};

/// Imports by their path relative to the importing file.
#[derive(Debug, Clone, Copy)]
pub struct Files;

impl Loader for Files {
    fn load(&self, from: &str, import: &str) -> Result<Source, LoadError> {
        if Path::new(import).is_absolute() {
            return Err(LoadError(
                "imports are relative to the importing file, so that a policy can be moved".to_owned(),
            ));
        }
        let folder = Path::new(from).parent().unwrap_or(Path::new(""));
        let path = tidy(&folder.join(import));
        read(&path).map_err(|e| LoadError(format!("{e:#}")))
    }
}

/// The path without `.` and with `..` resolved in the text, so that a file has one name.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            _ => out.push(part),
        }
    }
    out
}

/// Reads one file, `-` for standard input; never more than the language takes.
pub fn read(path: &Path) -> anyhow::Result<Source> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE as u64 + 1;
    let shown = path.display().to_string();
    if shown == "-" {
        std::io::stdin().take(limit).read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
        anyhow::ensure!(!file.metadata()?.is_dir(), "{shown} is a folder; name a file");
        file.take(limit).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    }
    anyhow::ensure!(bytes.len() <= MAX_FILE, "{shown} is too large: a policy file has at most 16 MiB (P0101)");
    let text = String::from_utf8(bytes)
        .map_err(|e| anyhow::anyhow!("{shown} is not UTF-8 from byte {} on (P0101)", e.utf8_error().valid_up_to()))?;
    let name = if shown == "-" { "<stdin>".to_owned() } else { tidy(path).display().to_string() };
    Ok(Source::new(&name, &text))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_name() {
        assert_eq!(tidy(Path::new("./a/../b/./c.pdl")), Path::new("b/c.pdl"));
        assert_eq!(tidy(Path::new("../a.pdl")), Path::new("../a.pdl"));
        assert_eq!(tidy(Path::new("/a/../../b")), Path::new("/../b"));
    }
}
