//! Entries of the Boot Loader Specification, which systemd-boot reads.

use super::cmdline::missing;
use super::efi::{self, Program};
use super::line::{Edits, joined, judged, lines};
use crate::bake::BakeError;
use crate::bake::image::Image;

/// Where entries are.
pub(super) const ENTRY_DIRS: [&str; 4] =
    ["boot/loader/entries", "efi/loader/entries", "boot/efi/loader/entries", "loader/entries"];

/// systemd-boot does not tell upper from lower case, and passes over hidden files.
pub(super) fn is_entry(name: &str) -> bool {
    !name.starts_with('.') && name.to_ascii_lowercase().ends_with(".conf")
}

/// What an entry's `efi` or `uki` starts, in the partition of the entry.
pub(super) fn started(image: &dyn Image, dir: &str, text: &str) -> Result<Option<Program>, BakeError> {
    let keys = ["efi", "uki"];
    let mut named = lines(text).filter_map(|(_, line)| {
        let (key, path) = line.trim_start().split_once(char::is_whitespace)?;
        keys.contains(&key).then(|| path.trim().replace('\\', "/"))
    });
    let Some(path) = named.next() else { return Ok(None) };
    let partition = dir.strip_suffix("loader/entries").unwrap_or_default();
    let path = path.trim_start_matches('/');
    if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Ok(None);
    }
    match efi::program(image, &format!("{partition}{path}")) {
        Err(BakeError::Symlink(_)) => Ok(None),
        other => other,
    }
}

/// An entry of the Boot Loader Specification: all its `options` are one command line. Without any, what is started may
/// hold its own.
pub(super) fn entry(
    file: &str,
    text: &str,
    started: &Option<Program>,
    default: Option<&[String]>,
) -> Result<Option<Edits>, BakeError> {
    let of = |key: &'static str| move |(_, line): &(usize, &str)| line.split_whitespace().next() == Some(key);
    let mut pieces = Vec::new();
    for (at, line) in lines(text).filter(of("options")) {
        let from = line.find("options").map_or(0, |n| n + "options".len());
        pieces.push((at + from, &line[from..]));
    }
    let bare = match started {
        Some(Program::Unified(lines)) => lines.is_empty(),
        Some(Program::Kernel) => true,
        _ => lines(text).any(|l| of("linux")(&l)),
    };
    if let Some(Program::Unified(held)) = started.as_ref().filter(|_| pieces.is_empty()) {
        for line in held {
            if let Some(parameter) = missing(&judged(file, line)?, default) {
                let what = format!("the command line of what it starts lacks `{parameter}`: make that again with it");
                return Err(BakeError::Content { path: file.to_owned(), what });
            }
        }
    }
    if pieces.is_empty() && bare {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let line = missing(&[], default).map(|parameter| (text.len(), format!("{end}options {parameter}\n")));
        return Ok(Some(line.into_iter().collect()));
    }
    joined(file, &pieces, default)
}
