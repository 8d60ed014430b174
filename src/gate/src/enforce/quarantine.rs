//! Evidence, and the record that `kiln gate release` undoes.
//!
//! ```text
//! DIR/KEYHASH/record.json      who, why, when, what undoes it, what was kept
//! DIR/KEYHASH/executable       a copy of what ran
//! DIR/KEYHASH/target           a copy of what it touched
//! ```
//! Originals are only read. Nothing is moved, and no mode of any file is changed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cgroup;
use super::process::Process;
use super::systemd::{Systemd, SystemdError};
use super::undo::Undo;
use crate::engine::Request;

/// The largest file that is kept; a larger one is named with its size, not copied.
const MAX_EVIDENCE: u64 = 64 << 20;

/// A kept copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// `executable` or `target`.
    pub what: String,
    /// Where it was.
    pub path: String,
    /// SHA-256 of the copy; absent where it was too large or unreadable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Mode, owner, group and modification time (seconds since 1970) of the original.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub modified: i64,
    /// Why there is no copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What was done to a process, and what undoes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The process's key.
    pub key: String,
    /// The last request.
    pub request: Request,
    /// The process's control group.
    pub cgroup: String,
    /// Its start, nanoseconds after boot.
    pub start_ns: u64,
    /// Its command line.
    pub command_line: Vec<String>,
    /// What undoes it, in the order it was done.
    pub undo: Vec<Undo>,
    /// What was kept.
    pub evidence: Vec<Evidence>,
}

/// A record cannot be kept or undone.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// A file.
    #[error("quarantine: {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No such key.
    #[error("no process {0:?} is held in {1}; `kiln gate state` lists keys")]
    Unknown(String, String),
    /// A record that is not a record.
    #[error("quarantine: {} is damaged: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// systemd.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> QuarantineError {
    let path = path.to_owned();
    move |source| QuarantineError::File { path, source }
}

/// The folder of a key: its hash, because a key may hold any character.
fn folder(directory: &Path, key: &str) -> PathBuf {
    directory.join(&hex::encode(Sha256::digest(key))[..32])
}

impl Record {
    /// A record of a request that is about to be carried out.
    pub fn new(request: &Request, process: Option<&Process>) -> Record {
        let command_line = process.and_then(|p| fs::read(format!("/proc/{}/cmdline", p.pid)).ok()).unwrap_or_default();
        let words = command_line.split(|b| *b == 0).filter(|word| !word.is_empty()).take(256);
        Record {
            key: request.process_key.clone(),
            request: request.clone(),
            cgroup: process.map(|p| p.cgroup.clone()).unwrap_or_default(),
            start_ns: process.map_or(0, |p| p.start_ns),
            command_line: words
                .map(|word| String::from_utf8_lossy(&word[..word.len().min(4096)]).into_owned())
                .collect(),
            undo: Vec::new(),
            evidence: Vec::new(),
        }
    }

    /// Copies the executable and the target.
    ///
    /// # Errors
    /// The folder cannot be made; a file that cannot be copied is noted in the record instead.
    pub(super) fn preserve(
        &mut self,
        directory: &Path,
        process: &Process,
        request: &Request,
    ) -> Result<String, QuarantineError> {
        let folder = folder(directory, &self.key);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(file_error(&folder))?;
        let link = format!("/proc/{}/exe", process.pid);
        let name = fs::read_link(&link).map_or_else(|_| "?".to_owned(), |path| path.to_string_lossy().into_owned());
        self.evidence.push(keep("executable", Path::new(&link), &name, &folder, false));
        // Of the target only a regular file, by its own name: the process chose the path, so links are not followed.
        if request.target.starts_with('/') && !request.target.contains("->") {
            self.evidence.push(keep("target", Path::new(&request.target), &request.target, &folder, true));
        }
        let kept = self.evidence.iter().filter(|evidence| evidence.sha256.is_some()).count();
        Ok(format!("kept {kept} files in {}", folder.display()))
    }

    /// Saves the record; what an earlier one of the same process undoes stays in it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn save(&mut self, directory: &Path) -> Result<(), QuarantineError> {
        if self.undo.is_empty() && self.evidence.is_empty() {
            return Ok(());
        }
        let folder = folder(directory, &self.key);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(file_error(&folder))?;
        let path = folder.join("record.json");
        if let Ok(before) = read(&path) {
            // The first value that was read is the original one.
            let new = std::mem::replace(&mut self.undo, before.undo);
            for step in new {
                if !self.undo.iter().any(|known| same_place(known, &step)) {
                    self.undo.push(step);
                }
            }
            for evidence in before.evidence {
                if !self.evidence.iter().any(|new| new.what == evidence.what) {
                    self.evidence.push(evidence);
                }
            }
        }
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| QuarantineError::Damaged { path: path.clone(), reason: e.to_string() })?;
        write_aside(&path, &bytes).map_err(file_error(&path))
    }
}

fn same_place(a: &Undo, b: &Undo) -> bool {
    match (a, b) {
        (Undo::CgroupWrite { cgroup: c, file: f, .. }, Undo::CgroupWrite { cgroup, file, .. }) => {
            c == cgroup && f == file
        }
        _ => a == b,
    }
}

/// Writes beside and renames.
fn write_aside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(aside, path)
}

fn read(path: &Path) -> Result<Record, QuarantineError> {
    let bytes = fs::read(path).map_err(file_error(path))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| QuarantineError::Damaged { path: path.to_owned(), reason: e.to_string() })
}

/// Copies one file, or says why not.
fn keep(what: &str, from: &Path, name: &str, folder: &Path, no_follow: bool) -> Evidence {
    let mut evidence = Evidence {
        what: what.to_owned(),
        path: name.to_owned(),
        sha256: None,
        size: 0,
        mode: 0,
        uid: 0,
        gid: 0,
        modified: 0,
        missing: None,
    };
    let result = copy(from, &folder.join(what), no_follow, &mut evidence);
    match result {
        Ok(digest) => evidence.sha256 = Some(digest),
        Err(error) => evidence.missing = Some(error.to_string()),
    }
    evidence
}

fn copy(from: &Path, to: &Path, no_follow: bool, evidence: &mut Evidence) -> io::Result<String> {
    // Not blocking: the path may be a pipe. O_NOFOLLOW guards the last component.
    let flags = libc::O_NONBLOCK | if no_follow { libc::O_NOFOLLOW } else { 0 };
    let file = OpenOptions::new().read(true).custom_flags(flags).open(from)?;
    let meta = file.metadata()?;
    evidence.size = meta.len();
    evidence.mode = meta.mode() & 0o7777;
    evidence.uid = meta.uid();
    evidence.gid = meta.gid();
    evidence.modified = meta.mtime();
    if !meta.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if meta.len() > MAX_EVIDENCE {
        return Err(io::Error::other(format!("larger than {MAX_EVIDENCE} bytes")));
    }
    let aside = to.with_extension("tmp");
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o400).open(&aside)?;
    let digest = copy_hashed(file.take(MAX_EVIDENCE + 1), &mut copy)?;
    copy.sync_all()?;
    fs::rename(aside, to)?;
    Ok(digest)
}

fn copy_hashed(mut from: impl Read, to: &mut File) -> io::Result<String> {
    let (mut buffer, mut digest) = (vec![0; 1 << 16], Sha256::new());
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize())),
            read => {
                digest.update(&buffer[..read]);
                to.write_all(&buffer[..read])?;
            }
        }
    }
}

/// What a release did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Released {
    /// The process's key.
    pub key: String,
    /// What was undone.
    pub details: Vec<String>,
    /// What could not be undone; such a step stays in the record.
    pub failures: Vec<String>,
}

/// Undoes what was done to a process, the last step first. Evidence stays.
///
/// # Errors
/// The key is unknown, or its record unreadable.
pub fn release(directory: &Path, key: &str) -> Result<Released, QuarantineError> {
    let path = folder(directory, key).join("record.json");
    if !path.exists() {
        return Err(QuarantineError::Unknown(key.to_owned(), directory.display().to_string()));
    }
    let mut record = read(&path)?;
    let mut released = Released { key: key.to_owned(), details: Vec::new(), failures: Vec::new() };
    let needs_systemd = record.undo.iter().any(|step| !step.is_cgroup());
    let systemd = if needs_systemd { Some(Systemd::connect()?) } else { None };
    let mut left = Vec::new();
    for step in std::mem::take(&mut record.undo).into_iter().rev() {
        let result = match (&step, &systemd) {
            _ if step.is_cgroup() => cgroup::undo(&step),
            (_, Some(systemd)) => systemd.undo(&step).map_err(|e| e.to_string()),
            (_, None) => Err("systemd is not connected".to_owned()),
        };
        match result {
            Ok(detail) => released.details.push(detail),
            Err(error) => {
                released.failures.push(error);
                left.push(step);
            }
        }
    }
    left.reverse();
    record.undo = left;
    let bytes = serde_json::to_vec_pretty(&record)
        .map_err(|e| QuarantineError::Damaged { path: path.clone(), reason: e.to_string() })?;
    write_aside(&path, &bytes).map_err(file_error(&path))?;
    Ok(released)
}
