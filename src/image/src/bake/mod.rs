//! Writes policy, agent and units into images.
//!
//! ```text
//! target ─ disk ──► Image (rootdir | ext4)          what it is, and how to read it
//!            plan: kernel · boot · units · binary   what shall be there, from reading alone
//!            image::pending                         what is not yet there
//!            install (directory) | ext4 (disk)      all of it, or nothing
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
mod install;
pub mod kernel;
pub mod layout;
mod lock;
mod payload;
mod plan;
mod programs;
mod render;
mod rootdir;
mod shadow;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

pub use boot::BootEdit;
pub use error::BakeError;
pub use payload::{KernelCheck, Options, Payload};
pub use plan::{MANIFEST_SCHEMA, Manifest, Plan};
pub use rootdir::RootDir;
pub use units::UnitSelector;

use disk::Shape;
use ext4::Ext4Image;
use image::{Change, Image};
use install::Stamp;
use kiln_base::model::Digest;
use lock::Lock;

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
    if std::fs::metadata(target).map_err(BakeError::host(target, "open"))?.is_dir() {
        return bake_directory(target, output, payload, options);
    }
    // A link to a disk stays one: the file behind it is replaced.
    let real = settle(target)?;
    let place = output.map_or_else(|| Ok(real.clone()), settle)?;
    let _lock = if place == real { Lock::take(&real)? } else { Lock::share(&real)? };
    match disk::detect(&real, options.partition)? {
        Shape::Directory => bake_directory(&real, output, payload, options),
        Shape::Disk(span) => {
            let report = bake_disk(&real, span, &place, payload, options)?;
            Ok(Report { target: output.unwrap_or(target).to_owned(), ..report })
        }
    }
}

/// The file that a path leads to, through links; the path itself where nothing is there yet.
fn settle(path: &Path) -> Result<PathBuf, BakeError> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => std::fs::canonicalize(path).map_err(BakeError::host(path, "follow the link")),
        _ => Ok(path.to_owned()),
    }
}

/// Opens an image for reading: what a bake wrote is found by the paths of [`layout`].
pub fn open(target: &Path, partition: Option<u32>) -> Result<Box<dyn Image>, BakeError> {
    Ok(match disk::detect(target, partition)? {
        Shape::Directory => Box::new(RootDir::open(target)?),
        Shape::Disk(span) => Box::new(Ext4Image::open(target, span)?),
    })
}

fn bake_directory(
    target: &Path,
    output: Option<&Path>,
    payload: &Payload<'_>,
    options: &Options,
) -> Result<Report, BakeError> {
    let Some(output) = output.filter(|o| *o != target) else {
        let _lock = Lock::take(target)?;
        return bake_in_place(target, payload, options);
    };
    if output.exists() {
        return Err(BakeError::Target {
            path: output.to_owned(),
            what: "exists already".to_owned(),
            mend: "remove it, or leave --output out to bake in place",
        });
    }
    let folder = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (aside, _held) = aside::dir(folder)?;
    let copy = aside.path().join("root");
    {
        let _lock = Lock::share(target)?;
        copy_tree(target, &copy)?;
    }
    let mut report = bake_in_place(&copy, payload, options)?;
    std::fs::rename(&copy, output).map_err(BakeError::host(output, "put it in place"))?;
    report.target = output.to_owned();
    Ok(report)
}

/// cp(1) keeps what a root file system needs kept: owners, modes, links, holes, extended attributes.
fn copy_tree(from: &Path, to: &Path) -> Result<(), BakeError> {
    let output = Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(from).arg(to).output();
    let output = output.map_err(|e| BakeError::Tool { tool: "cp", what: e.to_string() })?;
    if output.status.success() {
        return Ok(());
    }
    let what = String::from_utf8_lossy(&output.stderr).lines().take(3).collect::<Vec<_>>().join("; ");
    Err(BakeError::Tool { tool: "cp", what })
}

fn bake_in_place(target: &Path, payload: &Payload<'_>, options: &Options) -> Result<Report, BakeError> {
    let root = RootDir::open(target)?;
    let recovered = install::recover(&root)?;
    let mut plan = plan::plan(&root, payload, options)?;
    let owners = rustix::process::geteuid().is_root();
    if recovered {
        plan.warnings.push("an interrupted bake was undone first".to_owned());
    }
    if !owners {
        plan.warnings.push("not run as root: the files belong to you, not to root".to_owned());
    }
    let todo = image::pending(&root, &plan.changes, owners, options.epoch)?;
    install::install(&root, &todo, Stamp { owners, mtime: options.epoch })?;
    Ok(report(target, payload, plan, &todo))
}

fn bake_disk(
    target: &Path,
    span: disk::Span,
    output: &Path,
    payload: &Payload<'_>,
    options: &Options,
) -> Result<Report, BakeError> {
    let before = Ext4Image::open(target, span)?;
    let plan = plan::plan(&before, payload, options)?;
    let todo = image::pending(&before, &plan.changes, true, options.epoch)?;
    if todo.is_empty() && output == target {
        return Ok(report(target, payload, plan, &todo));
    }
    let copy = copy::copy_beside(target, output)?;
    ext4::check(copy.path(), span, options.epoch)?;
    ext4::install(copy.path(), span, &before, &todo, options.epoch)?;
    // What was written is read back by other code than wrote it.
    let after = Ext4Image::open(copy.path(), span)?;
    if let Some(left) = image::pending(&after, &todo, true, options.epoch)?.first() {
        let what = format!("/{} did not arrive in the image as it was written", left.path);
        return Err(BakeError::Tool { tool: "debugfs", what });
    }
    copy.as_file().sync_all().map_err(BakeError::host(output, "write"))?;
    copy.persist(output).map_err(|e| BakeError::host(output, "put it in place")(e.error))?;
    Ok(report(output, payload, plan, &todo))
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
