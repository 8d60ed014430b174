//! The `lsm=` boot parameter: where a kernel's command line, or its own list, leaves `bpf` out, it is added to every
//! place from which the image can boot.
//!
//! ```text
//! plan ─► grub     menus and defaults        script    words of GRUB's and the shell's text
//!      ─► entry    loader entries            efi       programs of an EFI partition
//!      ─► menus    of other loaders          cmdline   words of a command line
//!      ─► unified  unified kernel images
//!      each by line: one command line of a file
//! ```
//!
//! The kernel takes the last `lsm=` of its command line (security/security.c, `choose_lsm_order`), so appending one
//! that repeats the effective list and ends in `bpf` changes nothing else.

mod cmdline;
mod efi;
mod entry;
mod grub;
mod line;
mod menus;
mod script;
#[cfg(test)]
mod tests;
mod unified;

use serde::Serialize;

use super::BakeError;
use super::image::{Change, Image, Kind, Node};
use super::kernel::Kernel;
use cmdline::missing;
use entry::{ENTRY_DIRS, is_entry};
pub(super) use grub::FRAGMENTS as GRUB_FRAGMENTS;
use line::{Edits, joined, lines};

const CMDLINES: [&str; 2] = ["etc/kernel/cmdline", "usr/lib/kernel/cmdline"];

/// Whether a path is a file whose command lines a bake edits.
pub(super) fn is_place(path: &str) -> bool {
    let entry = |dir: &str| path.strip_prefix(dir).and_then(|p| p.strip_prefix('/'));
    grub::is_config(path)
        || CMDLINES.contains(&path)
        || ENTRY_DIRS.iter().filter_map(|d| entry(d)).any(|name| !name.contains('/') && is_entry(name))
}

/// One place that was given the parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootEdit {
    /// The file, with leading slash.
    pub file: String,
    /// What was appended to the command line.
    pub parameter: String,
}

/// What is needed so that `bpf` is among the active security modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootPlan {
    /// Files to be written.
    pub changes: Vec<Change>,
    /// The same, for the report.
    pub edits: Vec<BootEdit>,
    /// The parameter, where it is needed and the image has no place for it.
    pub homeless: Option<String>,
}

/// Plans the edits. `kernels` may be empty, when nobody asked; then only existing `lsm=` parameters are looked at.
pub fn plan(image: &dyn Image, kernels: &[Kernel]) -> Result<BootPlan, BakeError> {
    let default = default_list(kernels);
    let default = default.as_deref();
    let mut plan = BootPlan::default();
    let mut places = grub::defaults(image, default, &mut plan)?;
    places += grub::menus(image, default, &mut plan)?;
    for dir in ENTRY_DIRS {
        for name in image.list(dir).or_else(not_a_directory)?.iter().filter(|n| is_entry(n)) {
            let file = format!("{dir}/{name}");
            let Some(text) = text(image, &file)? else { continue };
            let started = entry::started(image, dir, &text)?;
            let edits = entry::entry(&file, &text, &started, default)?;
            places += usize::from(edits.is_some());
            plan.apply(image, &file, &text, edits.unwrap_or_default())?;
        }
    }
    for file in CMDLINES {
        let Some(text) = text(image, file)? else { continue };
        // One command line, however many lines it is written in.
        let lines = lines(&text).filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
        let edits = joined(file, &lines.collect::<Vec<_>>(), default)?;
        places += usize::from(edits.is_some());
        plan.apply(image, file, &text, edits.unwrap_or_default())?;
    }
    places += menus::look(image, default)?;
    for partition in efi::PARTITIONS {
        for (file, addons) in efi::unified(image, partition)? {
            places += usize::from(unified::unified(image, &file, &addons, default)?);
        }
    }
    if places == 0 {
        plan.homeless = missing(&[], default);
    }
    plan.changes.sort_by(|a, b| a.path.cmp(&b.path));
    plan.edits.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(plan)
}

/// The list to start from: that of the newest kernel which lacks `bpf`; `None` where every kernel has it (or none was
/// looked at).
fn default_list(kernels: &[Kernel]) -> Option<Vec<String>> {
    kernels.iter().rev().find(|k| !k.lsm.iter().any(|m| m == "bpf")).map(|k| k.lsm.clone())
}

impl BootPlan {
    /// Inserts into a file.
    fn apply(&mut self, image: &dyn Image, file: &str, text: &str, edits: Edits) -> Result<(), BakeError> {
        let (mut out, mut at) = (String::with_capacity(text.len() + 80), 0);
        for (place, insert) in &edits {
            out.push_str(&text[at..*place]);
            out.push_str(insert);
            at = *place;
        }
        out.push_str(&text[at..]);
        match edits.last().and_then(|(_, insert)| insert.split_whitespace().last()) {
            Some(parameter) => self.write(image, file, out, parameter.to_owned()),
            None => Ok(()),
        }
    }

    fn write(&mut self, image: &dyn Image, file: &str, text: String, parameter: String) -> Result<(), BakeError> {
        let found = image.find(file)?;
        let (mode, owner) = found.map_or((0o644, (0, 0)), |f| (f.mode, (f.uid, f.gid)));
        let node = Node::File { bytes: text.into_bytes(), mode, owner };
        self.changes.push(Change { path: file.to_owned(), node: Some(node) });
        self.edits.push(BootEdit { file: format!("/{file}"), parameter });
        Ok(())
    }
}

fn kind(image: &dyn Image, path: &str) -> Result<Option<Kind>, BakeError> {
    Ok(image.find(path)?.map(|f| f.kind))
}

/// The text of a file; `None` where there is none. A link or bytes that are not text are errors: editing would destroy
/// them, and leaving them out would leave the image unprotected.
fn text(image: &dyn Image, path: &str) -> Result<Option<String>, BakeError> {
    match image.find(path) {
        Ok(None) => return Ok(None),
        Ok(Some(f)) if f.kind == Kind::File => {}
        Ok(Some(f)) if f.kind == Kind::Link => return Err(BakeError::Symlink(path.to_owned())),
        Ok(Some(_)) => return Ok(None),
        // A plain file where a directory was looked for: there is no such place.
        Err(BakeError::InTheWay { .. }) => return Ok(None),
        Err(e) => return Err(e),
    }
    let what = "not UTF-8 text, so the boot parameter cannot be added".to_owned();
    String::from_utf8(image.read(path)?).map(Some).map_err(|_| BakeError::Content { path: path.to_owned(), what })
}

fn not_a_directory(error: BakeError) -> Result<Vec<String>, BakeError> {
    if matches!(error, BakeError::InTheWay { .. }) { Ok(Vec::new()) } else { Err(error) }
}
