//! What a case or a story needs of its guest, beside the kernel. Those with the same needs share a boot.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;
use crate::vm::Vm;

/// What the guest must be like.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needs {
    /// Further kernel parameters.
    pub append: String,
    /// CPUs; none: as many as the boot has anyway.
    pub cpus: Option<u32>,
    /// The file system on an extra disk, /dev/nvme0n1; `blank` for none.
    pub disk: Option<String>,
    /// Who alone has this boot: one case or story, or those of a kind.
    pub alone: Option<String>,
}

/// How a disk is made ready, and the module that mounts it.
const DISKS: [(&str, &[&str]); 4] = [
    ("blank", &[]),
    ("ext4", &["mkfs.ext4", "-q", "-F"]),
    ("xfs", &["mkfs.xfs", "-q", "-f"]),
    ("btrfs", &["mkfs.btrfs", "-q", "-f"]),
];
/// The least that mkfs.xfs takes is 300 MB. The file is sparse.
const DISK_BYTES: u64 = 512 << 20;

impl Needs {
    /// What the boot's folder and messages are called after: nothing for a boot that is like most.
    pub fn slug(&self) -> String {
        let cpus = self.cpus.map(|cpus| format!("cpus{cpus}"));
        let parts = [self.append.as_str(), cpus.as_deref().unwrap_or_default()];
        let parts = parts.into_iter().chain(self.disk.as_deref()).chain(self.alone.as_deref());
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        parts
            .filter(|part| !part.is_empty())
            .flat_map(|part| ['-'].into_iter().chain(part.chars().map(plain)))
            .collect()
    }

    /// Gives the guest what is needed.
    ///
    /// # Errors
    /// If the disk cannot be made.
    pub fn apply(&self, vm: &mut Vm, modules: &[String], work: &Path) -> Result<(), String> {
        if !self.append.is_empty() {
            vm.option(&["--append", &self.append]);
        }
        if let Some(cpus) = self.cpus {
            vm.option(&["--cpus", &cpus.to_string()]);
        }
        let mut modules = modules.to_vec();
        if let Some(kind) = &self.disk {
            let disk = disk(kind, work)?;
            vm.option(&["--disk", &disk.display().to_string()]);
            modules.push(kind.clone());
        }
        modules.sort();
        modules.dedup();
        for module in modules.iter().filter(|module| *module != "blank") {
            vm.option(&["--module", module]);
        }
        Ok(())
    }
}

/// A new disk with an empty file system.
fn disk(kind: &str, work: &Path) -> Result<PathBuf, String> {
    let (_, make) = DISKS.iter().find(|(name, _)| *name == kind).ok_or_else(|| {
        let known: Vec<&str> = DISKS.iter().map(|(name, _)| *name).collect();
        format!("no disk is called {kind}; there are {}", known.join(", "))
    })?;
    let path = work.join("disk.raw");
    let file = std::fs::File::create(&path).and_then(|file| file.set_len(DISK_BYTES));
    file.map_err(|error| format!("{}: {error}", path.display()))?;
    if let [program, options @ ..] = make {
        let folders = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        build::run(Command::new(program).env("PATH", folders).args(options).arg(&path))?;
    }
    Ok(path)
}
