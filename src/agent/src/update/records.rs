//! What the agent knows about the generations in the kernel, in `/run/kiln`: lost at reboot, as they are.

use std::path::{Path, PathBuf};

use kiln_base::abi::Tables;
use kiln_base::abi::metadata::Metadata;
use kiln_base::abi::tables::MAX_FILE;
use kiln_base::bundle::write_aside;
use kiln_base::event::Evidence;
use kiln_base::model::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{AgentError, FileFault, Result, TablesFault};
use crate::machine::files::{read_bounded, read_optional};
use crate::machine::host;
use crate::update::store::Verified;
use crate::update::tightened::{Tightened, number};

const MAX_RECORDS: u64 = 4 << 20;

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Index in the outer map.
    pub index: u32,
    /// Digest of the tables file.
    pub tables: Digest,
    /// SHA-256 of the kernel part as read back.
    pub readback: Digest,
    /// Serial of the policy.
    pub serial: u64,
    /// Name of the policy.
    pub name: String,
    /// Sequence of the assignment; 0: none.
    pub sequence: u64,
    /// Entries of the table of labels when it was built: labels given later are unknown to it.
    #[serde(default)]
    pub labels: usize,
    /// Set where it stands in for the build's policy for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tightened: Option<Tightened>,
}

impl Record {
    /// The digest of the build's policy.
    pub fn build(&self) -> &Digest {
        self.tightened.as_ref().map_or(&self.tables, |t| &t.base)
    }

    /// By which the kernel programs name it in events.
    pub fn number(&self) -> u64 {
        number(self.serial, self.tightened.as_ref().map_or(0, |t| t.number))
    }
}

/// An update that is not confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The policy comes back to the previous generation then; nanoseconds after boot.
    pub deadline_ns: u64,
}

/// All that is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// What is enforced.
    pub active: Record,
    /// What was before, for going back.
    pub previous: Option<Record>,
    /// Set until the active one is confirmed.
    pub pending: Option<Pending>,
    /// The last evidence.
    pub evidence: Option<Evidence>,
    /// Whether descriptors may be open that this policy would not open.
    pub revocation: bool,
}

/// The records that name a generation as the active one are written: it may become that.
#[derive(Debug)]
pub struct Named(u32);

impl Named {
    /// Index of the generation.
    pub fn index(&self) -> u32 {
        self.0
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Keeper {
    run: PathBuf,
}

impl Keeper {
    /// Records in a folder.
    pub fn new(run: &Path) -> Keeper {
        Keeper { run: run.to_owned() }
    }

    fn path(&self) -> PathBuf {
        self.run.join("generations.json")
    }

    fn tables_path(&self, digest: &Digest) -> PathBuf {
        self.run.join(format!("{}.tables", digest.hex()))
    }

    /// Reads the records.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn read(&self) -> Result<Option<Records>> {
        let Some(bytes) = read_optional(&self.path(), MAX_RECORDS)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| AgentError::Format { path: self.path(), fault: FileFault::Records(e) })
    }

    /// Writes the records, and removes tables that they do not name.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, records: &Records) -> Result<Named> {
        // Structs of strings and integers always serialise.
        let text = serde_json::to_vec(records).unwrap_or_default();
        write_aside(&self.path(), &text, 0o600)?;
        let keep = [Some(&records.active), records.previous.as_ref()];
        let keep: Vec<PathBuf> = keep.iter().flatten().map(|r| self.tables_path(&r.tables)).collect();
        for entry in std::fs::read_dir(&self.run).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "tables") && !keep.contains(&path) {
                let _ = std::fs::remove_file(path);
            }
        }
        Ok(Named(records.active.index))
    }

    /// Keeps the tables of a generation, so that events can be explained and the generation be built again.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep_tables(&self, policy: &Verified) -> Result<()> {
        write_aside(&self.tables_path(&policy.digest), &policy.file, 0o600)?;
        Ok(write_aside(&self.signature_path(&policy.digest), &policy.signature, 0o600)?)
    }

    fn signature_path(&self, digest: &Digest) -> PathBuf {
        self.run.join(format!("{}.dsse.json", digest.hex()))
    }

    /// The kept tables of a generation.
    ///
    /// # Errors
    /// If they are absent or not those that the record names.
    pub fn tables(&self, record: &Record) -> Result<Tables> {
        let path = self.tables_path(&record.tables);
        let fail = |fault| AgentError::Tables { place: path.display().to_string(), fault };
        let file = read_bounded(&path, MAX_FILE as u64)?;
        if Digest::of(&file) != record.tables {
            return Err(fail(TablesFault::NotLoaded));
        }
        let host = host::name(&self.run)?;
        Ok(Tables::read(&file).map_err(|e| fail(e.into()))?.on_host(&host))
    }

    /// The kept tables and signature of a generation, as they came.
    ///
    /// # Errors
    /// If they are absent.
    pub fn files(&self, record: &Record) -> Result<(Vec<u8>, Vec<u8>)> {
        let tables = read_bounded(&self.tables_path(&record.tables), MAX_FILE as u64)?;
        Ok((tables, read_bounded(&self.signature_path(&record.tables), kiln_base::bundle::MAX_ENVELOPE as u64)?))
    }

    /// The metadata of a generation; without its tables events are reported without their rule's text.
    pub fn metadata(&self, record: &Record) -> Option<Metadata> {
        self.tables(record).ok().map(|t| t.metadata)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for entry in std::fs::read_dir(&self.run).into_iter().flatten().flatten() {
            let path = entry.path();
            let extension = path.extension();
            let ours = extension.is_some_and(|e| e == "tables" || e == "json");
            if ours || path.file_name().is_some_and(|n| n == "object" || n == "absent" || n == host::FILE) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}
