//! Writes policy, agent and units into images.
//!
//! ```text
//! target::open   Target: a directory or a raw disk       disk finds the root file system; lock: one bake at a time
//!    │ image     its files, by rootdir | ext4            ext4 reads through a library, or debugfs
//!    ▼
//! plan::plan     what shall be there                     from payload and layout: render, units, programs
//!    │                                                   refuses by kernel, boot, shadow, binary
//!    ▼
//! image::pending what is not yet there
//!    │
//!    ▼ write_aside   into the image's stage (install) or a copy of the disk (copy, ext4); aside names both
//! target::Written
//!    │ commit        by renames, all or none
//!    ▼
//! Report         what was done
//! ```
//!
//! A bake is idempotent and reproducible: the same inputs give the same bytes, modes, owners and times. No link of the
//! image is followed where something is written. If anything fails, the target stays as it was.

mod aside;
mod binary;
pub mod boot;
mod copy;
mod debugfs;
pub mod disk;
mod error;
pub mod ext4;
pub mod image;
mod info;
mod install;
pub mod kernel;
pub mod layout;
mod lock;
mod manager;
mod own;
mod payload;
mod plan;
mod programs;
mod render;
mod rootdir;
mod settings;
mod shadow;
mod target;
mod tool;
mod units;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use boot::BootEdit;
pub use error::BakeError;
pub use info::info;
pub use payload::{KernelCheck, Options, Payload};
pub use plan::{MANIFEST_SCHEMA, Manifest, Plan};
pub use rootdir::RootDir;
pub use units::UnitSelector;

use disk::Shape;
use ext4::Ext4Image;
use image::{Change, Image};
use kiln_base::model::Digest;

/// The units and programs that a policy names and the image does not have.
///
/// # Errors
/// Where the image cannot be read, or would be refused for one of them.
pub fn missing(image: &dyn Image, units: &[&dyn UnitSelector], programs: &[String]) -> Result<Vec<String>, BakeError> {
    let mut missing = units::confined(image, units)?.missing;
    missing.extend(programs::missing(image, programs)?);
    Ok(missing)
}

/// What a bake did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The baked image.
    pub target: PathBuf,
    /// Digest of its manifest.json: its identity towards the POS.
    pub image: Digest,
    /// The policy's serial.
    pub serial: u64,
    /// Paths that were written, with leading slash.
    pub written: Vec<String>,
    /// Paths that were removed.
    pub removed: Vec<String>,
    /// How many paths already were as they should be.
    pub unchanged: usize,
    /// Units that do not start without the policy.
    pub units: Vec<String>,
    /// Releases of the kernels that were judged.
    pub kernels: Vec<String>,
    /// Where the boot parameter was added.
    pub boot: Vec<BootEdit>,
    /// Whether a kernel of the image needs the boot parameter, because its own list leaves bpf out.
    pub boot_parameter: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Bakes `target`, or a copy of it at `output`.
///
/// # Errors
/// [`BakeError`]; target and output are then as they were.
pub fn bake(
    target: &Path,
    output: Option<&Path>,
    payload: &Payload<'_>,
    options: &Options,
) -> Result<Report, BakeError> {
    let opened = target::open(target, output, options.partition)?;
    let mut plan = plan::plan(opened.image(), payload, options)?;
    plan.warnings.extend(opened.notes());
    let todo = image::pending(opened.image(), &plan.changes, opened.owners(), options.epoch)?;
    opened.write_aside(&todo, options.epoch)?.commit()?;
    Ok(report(output.unwrap_or(target), payload, plan, &todo))
}

/// Opens an image for reading: what a bake wrote is found by the paths of [`layout`].
pub fn open(target: &Path, partition: Option<u32>) -> Result<Box<dyn Image>, BakeError> {
    Ok(match disk::detect(target, partition)? {
        Shape::Directory => Box::new(RootDir::open(target)?),
        Shape::Disk(span) => Box::new(Ext4Image::open(target, span)?),
    })
}

fn report(target: &Path, payload: &Payload<'_>, plan: Plan, todo: &[Change]) -> Report {
    let paths = |written: bool| {
        todo.iter().filter(|c| c.node.is_some() == written).map(|c| format!("/{}", c.path)).collect::<Vec<_>>()
    };
    let boot_parameter = plan.kernels.iter().any(|k| !k.lsm.iter().any(|m| m == "bpf"));
    Report {
        target: target.to_owned(),
        image: plan.image,
        serial: payload.serial,
        written: paths(true),
        removed: paths(false),
        unchanged: plan.changes.len() - todo.len(),
        units: plan.units,
        kernels: plan.kernels.into_iter().map(|k| k.release).collect(),
        boot: plan.boot.into_iter().filter(|edit| todo.iter().any(|c| c.path == edit.file[1..])).collect(),
        boot_parameter,
        warnings: plan.warnings,
    }
}

#[cfg(test)]
mod tests;
