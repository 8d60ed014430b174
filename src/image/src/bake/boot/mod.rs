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
mod files;
mod grub;
mod line;
mod menus;
mod plan;
mod script;
#[cfg(test)]
mod tests;
mod unified;

pub use plan::{BootEdit, BootPlan};

use super::BakeError;
use super::image::Image;
use super::kernel::Kernel;
use cmdline::missing;
use entry::{ENTRY_DIRS, is_entry};
use files::{not_a_directory, text};
use line::{joined, lines};

const CMDLINES: [&str; 2] = ["etc/kernel/cmdline", "usr/lib/kernel/cmdline"];

/// Whether a path is a file whose command lines a bake edits.
pub(super) fn is_place(path: &str) -> bool {
    let entry = |dir: &str| path.strip_prefix(dir).and_then(|p| p.strip_prefix('/'));
    grub::is_config(path)
        || CMDLINES.contains(&path)
        || ENTRY_DIRS.iter().filter_map(|d| entry(d)).any(|name| !name.contains('/') && is_entry(name))
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
