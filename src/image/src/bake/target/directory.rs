//! A root file system directory: changed in place by renames, or copied whole to the output first.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::phases::{Target, Written};
use crate::bake::image::{Change, Image};
use crate::bake::install::{self, Staged, Stamp};
use crate::bake::lock::Lock;
use crate::bake::{BakeError, RootDir, aside};

/// An opened directory: the target itself, or a copy of it.
struct Directory {
    root: RootDir,
    /// Whether a bake that was killed had left something in it, which is undone.
    recovered: bool,
    owners: bool,
    hold: Hold,
}

/// What is held until the commit.
enum Hold {
    /// The target's lock.
    InPlace { _lock: Lock },
    /// The folder beside the output that has the copy, and what marks it as in use.
    Copy { folder: TempDir, _held: File, output: PathBuf },
}

/// A directory with the changes in its stage.
struct Aside {
    directory: Directory,
    staged: Option<Staged>,
}

/// Opens the directory. With an output it is copied at once: undoing what a killed bake left would change it.
pub(super) fn open(target: &Path, output: Option<&Path>) -> Result<Box<dyn Target>, BakeError> {
    let Some(output) = output.filter(|o| *o != target) else {
        let lock = Lock::take(target)?;
        return directory(target, Hold::InPlace { _lock: lock });
    };
    if output.exists() {
        return Err(BakeError::Target {
            path: output.to_owned(),
            what: "exists already".to_owned(),
            mend: "remove it, or leave --output out to bake in place",
        });
    }
    let folder = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (aside, held) = aside::dir(folder)?;
    let copy = copy_in(&aside);
    {
        let _lock = Lock::share(target)?;
        copy_tree(target, &copy)?;
    }
    directory(&copy, Hold::Copy { folder: aside, _held: held, output: output.to_owned() })
}

fn directory(path: &Path, hold: Hold) -> Result<Box<dyn Target>, BakeError> {
    let root = RootDir::open(path)?;
    let recovered = install::recover(&root)?;
    Ok(Box::new(Directory { root, recovered, owners: rustix::process::geteuid().is_root(), hold }))
}

/// Where in the folder beside the output the copy is.
fn copy_in(folder: &TempDir) -> PathBuf {
    folder.path().join("root")
}

/// cp(1) keeps what a root file system needs kept: owners, modes, links, holes, extended attributes.
pub(in crate::bake) fn copy_tree(from: &Path, to: &Path) -> Result<(), BakeError> {
    let output = Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(from).arg(to).output();
    let output = output.map_err(|e| BakeError::Tool { tool: "cp", what: e.to_string() })?;
    if output.status.success() {
        return Ok(());
    }
    let what = String::from_utf8_lossy(&output.stderr).lines().take(3).collect::<Vec<_>>().join("; ");
    Err(BakeError::Tool { tool: "cp", what })
}

impl Target for Directory {
    fn image(&self) -> &dyn Image {
        &self.root
    }

    fn owners(&self) -> bool {
        self.owners
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.recovered {
            notes.push("an interrupted bake was undone first".to_owned());
        }
        if !self.owners {
            notes.push("not run as root: the files belong to you, not to root".to_owned());
        }
        notes
    }

    fn write_aside(self: Box<Self>, changes: &[Change], epoch: i64) -> Result<Box<dyn Written>, BakeError> {
        let staged = install::stage(&self.root, changes, Stamp { owners: self.owners, mtime: epoch })?;
        Ok(Box::new(Aside { directory: *self, staged: Some(staged) }))
    }
}

impl Written for Aside {
    fn commit(mut self: Box<Self>) -> Result<(), BakeError> {
        if let Some(staged) = self.staged.take() {
            staged.commit(&self.directory.root)?;
        }
        match &self.directory.hold {
            Hold::InPlace { .. } => Ok(()),
            Hold::Copy { folder, output, .. } => {
                std::fs::rename(copy_in(folder), output).map_err(BakeError::host(output, "put it in place"))
            }
        }
    }
}

impl Drop for Aside {
    /// What cannot be cleared here is cleared by the next bake.
    fn drop(&mut self) {
        if let Some(staged) = self.staged.take() {
            let _ = staged.abandon(&self.directory.root);
        }
    }
}
