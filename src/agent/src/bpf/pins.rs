//! Where things are pinned. bpffs allows no dots in names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bpf::anchor::Anchor;

/// The folder of pins: `maps/NAME`, `progs/NAME` and `links/NAME`.
#[derive(Debug, Clone)]
pub struct Pins {
    root: PathBuf,
    /// By which the folder is found wherever it is mounted.
    anchor: Option<Anchor>,
}

impl Pins {
    /// Where the agent pins.
    pub const DEFAULT: &'static str = "/sys/fs/bpf/kiln";

    /// Pins below a folder of a bpffs.
    pub fn new(root: impl Into<PathBuf>) -> Pins {
        Pins { root: root.into(), anchor: None }
    }
    /// The pins of a folder, reached by a descriptor, which lives as long as the result.
    pub fn held(root: &Path, anchor: Anchor) -> Pins {
        let root = anchor.path().join(root.file_name().unwrap_or_default());
        Pins { root, anchor: Some(anchor) }
    }
    /// The descriptor, if the folder is reached by one.
    pub fn anchor(&self) -> Option<&Anchor> {
        self.anchor.as_ref()
    }
    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Folder of the maps.
    pub fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }
    /// Folder of the programs.
    pub fn progs(&self) -> PathBuf {
        self.root.join("progs")
    }
    /// Folder of the links.
    pub fn links(&self) -> PathBuf {
        self.root.join("links")
    }
    /// Folder where an upgrade prepares.
    pub fn next(&self) -> PathBuf {
        self.root.join("next")
    }

    /// Makes the folders; they are for root only.
    ///
    /// # Errors
    /// If there is no bpffs, or it is not writable.
    pub fn create(&self) -> io::Result<()> {
        for folder in [self.root.clone(), self.maps(), self.progs(), self.links()] {
            match fs::create_dir(&folder) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                _ => {}
            }
        }
        fs::set_permissions(&self.root, std::os::unix::fs::PermissionsExt::from_mode(0o700))
    }

    /// Names in a folder of pins, sorted; an absent folder has none.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub fn list(folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Removes everything: links first, since only they act.
    ///
    /// # Errors
    /// If a pin cannot be removed.
    pub fn remove_all(&self) -> io::Result<()> {
        for folder in [self.links(), self.next(), self.progs(), self.maps()] {
            clear(&folder)?;
        }
        clear(&self.root)
    }
}

/// Removes a folder with all that is in it, litter of others too. What is not a folder is a file.
fn clear(folder: &Path) -> io::Result<()> {
    let absent = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
    match fs::symlink_metadata(folder) {
        Ok(meta) if !meta.is_dir() => return fs::remove_file(folder),
        Err(e) if absent(&e) => return Ok(()),
        _ => {}
    }
    match fs::remove_dir_all(folder) {
        Err(e) if !absent(&e) => Err(e),
        _ => Ok(()),
    }
}
