//! Policy files and what they import.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use kiln_lang::pdl::{LoadError, Loader, MAX_FILE, Source};

/// A policy file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system's fault.
    #[error("cannot read {name}")]
    Read {
        /// The path, or `standard input`.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Not a file.
    #[error("{0} is a folder; name a file")]
    Folder(String),
    /// More than the language takes.
    #[error("{0} is too large: a policy file has at most 16 MiB (P0101)")]
    TooLarge(String),
    /// Not text.
    #[error("{name} is not UTF-8 from byte {at} on (P0101); save it as UTF-8")]
    NotUtf8 {
        /// The path.
        name: String,
        /// The first byte that is none of a text.
        at: usize,
    },
}

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
        read(&path).map_err(|e| LoadError(whole(&e)))
    }
}

/// The path without `.` and with `..` resolved in the text, so that a file has one name.
pub fn tidy(path: &Path) -> PathBuf {
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

/// An error with its cause, in one line.
fn whole(error: &SourceError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// Reads one file, `-` for standard input; never more than the language takes.
///
/// # Errors
/// Where it cannot be read, is too large, or is not text.
pub fn read(path: &Path) -> Result<Source, SourceError> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE as u64 + 1;
    let shown = path.display().to_string();
    let unreadable = |name: &str| {
        let name = name.to_owned();
        move |source| SourceError::Read { name, source }
    };
    if shown == "-" {
        std::io::stdin().take(limit).read_to_end(&mut bytes).map_err(unreadable("standard input"))?;
    } else {
        let file = File::open(path).map_err(unreadable(&shown))?;
        if file.metadata().map_err(unreadable(&shown))?.is_dir() {
            return Err(SourceError::Folder(shown));
        }
        file.take(limit).read_to_end(&mut bytes).map_err(unreadable(&shown))?;
    }
    if bytes.len() > MAX_FILE {
        return Err(SourceError::TooLarge(shown));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => return Err(SourceError::NotUtf8 { name: shown, at: e.utf8_error().valid_up_to() }),
    };
    let name = if shown == "-" { "<stdin>".to_owned() } else { tidy(path).display().to_string() };
    Ok(Source::new(&name, &text))
}

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
