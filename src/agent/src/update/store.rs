//! What the agent remembers in `/var/lib/kiln`: the last good policy, and the highest numbers ever accepted.

use std::path::{Path, PathBuf};

use kiln_base::abi::Tables;
use kiln_base::abi::tables::MAX_FILE;
use kiln_base::bundle::{
    Assignment, Envelope, MAX_ENVELOPE, PolicyStatement, StatementError, TIGHTENING_TYPE, Tightening, write_aside,
};
use kiln_base::model::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{AgentError, FileFault, Number, Result, TablesFault};
use crate::machine::clock::{now_ns, wall_ns};
use crate::machine::files::{read_bounded, read_optional};
use crate::update::tightened::{Tightened, number};
use crate::update::trusted::Trusted;

const MAX_STATE: u64 = 64 * 1024;

/// The state folder.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// Numbers that only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    /// Highest serial ever accepted, confirmed or not: nothing at or below it is accepted again.
    pub serial: u64,
    /// Highest sequence of an assignment ever accepted.
    pub sequence: u64,
    /// Serial of the policy that was last confirmed: nothing below it is loaded at boot without a report.
    pub confirmed: u64,
    /// Sequence that assigned the last confirmed policy; 0: the image's own, or a local update.
    pub confirmed_sequence: u64,
    /// Of a serial, the highest number of a tightening ever accepted.
    #[serde(default)]
    pub tightened: TightenedMark,
}

/// Nothing at or below `number` is accepted again for `serial`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TightenedMark {
    /// Of the build's policy.
    pub serial: u64,
    /// Of its tightenings.
    pub number: u64,
}

/// A policy whose signature and digests hold.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What was signed.
    pub statement: PolicyStatement,
    /// The tables of this host, checked.
    pub tables: Tables,
    /// Digest of the tables file.
    pub digest: Digest,
    /// The bytes as they came, for the store.
    pub file: Vec<u8>,
    /// The envelope as it came.
    pub signature: Vec<u8>,
    /// Sequence of its assignment; 0: none.
    pub sequence: u64,
    /// Set where the build did not sign it: it must be proven to be a subset of what the build signed.
    pub tightening: Option<Tightening>,
    /// The clock as it was seen at the latest while this was kept; it never counts back.
    pub seen: u64,
}

/// A policy that may become active: however that ends, it is not accepted again.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'a>(&'a Verified);

impl<'a> Accepted<'a> {
    /// What was chosen at boot: the image's own policy, or one that was accepted and confirmed before. The store takes note
    /// of it when it is confirmed.
    pub fn at_boot(policy: &'a Verified) -> Accepted<'a> {
        Accepted(policy)
    }

    /// The policy.
    pub fn policy(self) -> &'a Verified {
        self.0
    }
}

impl Verified {
    /// Verifies a tables file against its signature.
    ///
    /// # Errors
    /// If any signature, digest, number or part of the tables does not hold. `place` names the file in errors.
    pub fn check(place: &str, file: Vec<u8>, signature: Vec<u8>, trusted: &Trusted) -> Result<Verified> {
        let envelope = Envelope::parse(&signature)?;
        let (statement, tightening) = if envelope.payload_type() == TIGHTENING_TYPE {
            let signed = Tightening::verify(&envelope, trusted)?;
            let (policy, tables, serial) = (signed.policy, signed.tables, signed.serial);
            (PolicyStatement { policy, tables, serial, name: signed.name.clone() }, Some(signed))
        } else {
            (PolicyStatement::verify(&envelope, trusted)?, None)
        };
        statement.covers(&file)?;
        let fail = |fault| AgentError::Tables { place: place.to_owned(), fault };
        let tables = Tables::read(&file).map_err(|e| fail(e.into()))?.on_host(&trusted.host);
        if tables.metadata.serial != statement.serial {
            return Err(fail(TablesFault::Serial { tables: tables.metadata.serial, statement: statement.serial }));
        }
        if tables.metadata.policy != statement.policy {
            return Err(fail(TablesFault::Policy));
        }
        let digest = Digest::of(&file);
        Ok(Verified { statement, tables, digest, file, signature, sequence: 0, tightening, seen: 0 })
    }

    /// The build's own policy: one that a policy key signed.
    ///
    /// # Errors
    /// If it is a tightening.
    pub fn of_build(self) -> Result<Verified> {
        match self.tightening {
            None => Ok(self),
            Some(_) => Err(StatementError::NotOfBuild.into()),
        }
    }

    /// By which the kernel programs name its generation.
    pub fn number(&self) -> u64 {
        number(self.statement.serial, self.tightening.as_ref().map_or(0, |t| t.number))
    }

    /// What is recorded of a tightening that begins now.
    pub fn tightened(&self) -> Option<Tightened> {
        let Tightening { number, base, expires, .. } = self.tightening.as_ref()?;
        let left = expires.saturating_sub(self.seen.max(wall_ns() / 1_000_000_000));
        let deadline_ns = now_ns().saturating_add(left.saturating_mul(1_000_000_000));
        Some(Tightened { number: *number, base: *base, expires: *expires, deadline_ns })
    }

    /// Reads and verifies a pair of files.
    ///
    /// # Errors
    /// As [`Verified::check`], or if a file cannot be read.
    pub fn read(tables: &Path, signature: &Path, trusted: &Trusted) -> Result<Verified> {
        let file = read_bounded(tables, MAX_FILE as u64)?;
        let envelope = read_bounded(signature, MAX_ENVELOPE as u64)?;
        Verified::check(&tables.display().to_string(), file, envelope, trusted)
    }

    /// Adds the assignment by which the policy came.
    ///
    /// # Errors
    /// If it is not signed by the POS, not for this instance, or not for this policy.
    pub fn assigned(mut self, envelope: &Envelope, instance: &str, trusted: &Trusted) -> Result<Verified> {
        let assignment = Assignment::verify(envelope, trusted)?;
        if self.tightening.is_some() {
            return Err(StatementError::NotOfBuild.into());
        }
        assignment.agrees(&self.statement, instance)?;
        self.sequence = assignment.sequence;
        Ok(self)
    }
}

impl Store {
    /// The store of a folder, which must exist (systemd's StateDirectory= makes it).
    pub fn new(folder: impl Into<PathBuf>) -> Store {
        Store { folder: folder.into() }
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The file that holds the marks.
    pub fn marks_path(&self) -> PathBuf {
        self.path("marks.json")
    }

    /// Reads the marks; an absent file has zeros.
    ///
    /// # Errors
    /// If the file is damaged: that must not look like a machine that never accepted anything.
    pub fn marks(&self) -> Result<Marks> {
        let path = self.marks_path();
        match read_optional(&path, MAX_STATE)? {
            None => Ok(Marks::default()),
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|e| AgentError::Format { path, fault: FileFault::Marks(e) })
            }
        }
    }

    fn write_marks(&self, marks: &Marks) -> Result<()> {
        // A struct of integers always serialises.
        let text = serde_json::to_vec(marks).unwrap_or_default();
        Ok(write_aside(&self.marks_path(), &text, 0o600)?)
    }

    /// Whether an offered policy is newer than all before.
    ///
    /// # Errors
    /// [`AgentError::Replay`] if not.
    pub fn check_new(marks: &Marks, offered: &Verified) -> Result<()> {
        let (serial, sequence) = (offered.statement.serial, offered.sequence);
        if serial <= marks.serial {
            return Err(AgentError::Replay { what: Number::Serial, offered: serial, seen: marks.serial });
        }
        if sequence != 0 && sequence <= marks.sequence {
            return Err(AgentError::Replay { what: Number::Sequence, offered: sequence, seen: marks.sequence });
        }
        Ok(())
    }

    /// Whether an offered tightening is newer than all before of its serial.
    ///
    /// # Errors
    /// [`AgentError::Replay`] if not.
    pub fn check_new_tightening(marks: &Marks, offered: &Tightening) -> Result<()> {
        let TightenedMark { serial, number: seen } = marks.tightened;
        if offered.serial < serial || offered.serial == serial && offered.number <= seen {
            return Err(AgentError::Replay { what: Number::Tightening, offered: offered.number, seen });
        }
        Ok(())
    }

    /// Remembers that numbers were accepted, before anything is enforced.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn accept<'a>(&self, offered: &'a Verified) -> Result<Accepted<'a>> {
        let mut marks = self.marks()?;
        marks.serial = marks.serial.max(offered.statement.serial);
        marks.sequence = marks.sequence.max(offered.sequence);
        if let Some(t) = &offered.tightening {
            marks.tightened = TightenedMark { serial: t.serial, number: t.number };
        }
        self.write_marks(&marks)?;
        Ok(Accepted(offered))
    }

    /// Keeps a policy as the last good one. The three files are one folder that is exchanged whole.
    ///
    /// # Errors
    /// If a file cannot be written; the last good one before stays.
    pub fn confirm(&self, good: &Verified) -> Result<()> {
        // The tables go under their digest; `good.json` names them, and is exchanged by a rename.
        write_aside(&self.tables_path(&good.digest), &good.file, 0o600)?;
        let record = Good {
            tables: good.digest,
            sequence: good.sequence,
            signature: String::from_utf8_lossy(&good.signature).into_owned(),
        };
        let text = serde_json::to_vec(&record).unwrap_or_default();
        write_aside(&self.path("good.json"), &text, 0o600)?;
        let mut marks = self.marks()?;
        marks.serial = marks.serial.max(good.statement.serial);
        marks.sequence = marks.sequence.max(good.sequence);
        marks.confirmed = good.statement.serial;
        marks.confirmed_sequence = good.sequence;
        self.write_marks(&marks)?;
        self.sweep(&good.digest);
        self.forget_tightened()
    }

    /// Keeps a tightened policy for the next boot, and how late it was seen to be.
    ///
    /// # Errors
    /// If a file cannot be written; what was kept before stays.
    pub fn keep_tightened(&self, policy: &Verified) -> Result<()> {
        let path = self.path(&format!("{TIGHTENED}{}.tables", policy.digest.hex()));
        write_aside(&path, &policy.file, 0o600)?;
        let signature = String::from_utf8_lossy(&policy.signature).into_owned();
        // Who confirms read the policy anew, and does not know how late it was already.
        let before = self.read_tightened().ok().flatten().map_or(0, |kept| kept.seen);
        let seen = policy.seen.max(before).max(wall_ns() / 1_000_000_000);
        self.write_tightened(&Kept { tables: policy.digest, signature, seen })?;
        self.sweep_tightened(Some(&path));
        Ok(())
    }

    fn write_tightened(&self, kept: &Kept) -> Result<()> {
        let text = serde_json::to_vec(kept).unwrap_or_default();
        Ok(write_aside(&self.path("tightened.json"), &text, 0o600)?)
    }

    fn read_tightened(&self) -> Result<Option<Kept>> {
        let path = self.path("tightened.json");
        let Some(bytes) = read_optional(&path, 2 * MAX_ENVELOPE as u64)? else { return Ok(None) };
        let kept = serde_json::from_slice(&bytes);
        kept.map(Some).map_err(|e| AgentError::Format { path, fault: FileFault::Good(e) })
    }

    /// Notes what the clock says, where a tightened policy is kept: it does not get longer by setting the clock back.
    ///
    /// # Errors
    /// If it cannot be noted.
    pub fn see_tightened(&self) -> Result<()> {
        let now = wall_ns() / 1_000_000_000;
        match self.read_tightened()? {
            Some(kept) if kept.seen < now => self.write_tightened(&Kept { seen: now, ..kept }),
            _ => Ok(()),
        }
    }

    /// The kept tightened policy, verified again as the last good one is.
    ///
    /// # Errors
    /// As [`Store::last_good`].
    pub fn tightened(&self, trusted: &Trusted) -> Result<Option<Verified>> {
        let Some(kept) = self.read_tightened()? else { return Ok(None) };
        let tables = self.path(&format!("{TIGHTENED}{}.tables", kept.tables.hex()));
        let file = read_bounded(&tables, MAX_FILE as u64)?;
        let mut verified = Verified::check(&tables.display().to_string(), file, kept.signature.into_bytes(), trusted)?;
        verified.seen = kept.seen;
        Ok(Some(verified).filter(|v| v.tightening.is_some()))
    }

    /// Forgets the tightened policy: the next boot loads the build's own.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn forget_tightened(&self) -> Result<()> {
        let path = self.path("tightened.json");
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(AgentError::Read { path, source }),
            _ => {
                self.sweep_tightened(None);
                Ok(())
            }
        }
    }

    fn sweep_tightened(&self, keep: Option<&Path>) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let ours = name.to_str().is_some_and(|n| n.starts_with(TIGHTENED) && n.ends_with(".tables"));
            if ours && Some(path.as_path()) != keep {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn tables_path(&self, digest: &Digest) -> PathBuf {
        self.path(&format!("good-{}.tables", digest.hex()))
    }

    /// Removes tables that are not the last good ones any more; what cannot be removed only takes room.
    fn sweep(&self, keep: &Digest) {
        let keep = self.tables_path(keep);
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let stale = name.to_str().is_some_and(|n| n.starts_with("good-") && n.ends_with(".tables"));
            if stale && path != keep {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// The last good policy, verified again: the folder is not trusted more than the network.
    ///
    /// # Errors
    /// If its files are damaged or not signed any more (a key was withdrawn with a new image).
    pub fn last_good(&self, trusted: &Trusted) -> Result<Option<Verified>> {
        let path = self.path("good.json");
        let Some(bytes) = read_optional(&path, 2 * MAX_ENVELOPE as u64)? else { return Ok(None) };
        let record: Good =
            serde_json::from_slice(&bytes).map_err(|e| AgentError::Format { path, fault: FileFault::Good(e) })?;
        let tables = self.tables_path(&record.tables);
        let file = read_bounded(&tables, MAX_FILE as u64)?;
        let mut verified =
            Verified::check(&tables.display().to_string(), file, record.signature.into_bytes(), trusted)?.of_build()?;
        verified.sequence = record.sequence;
        Ok(Some(verified))
    }
}

/// How the tables of a tightened policy are named.
const TIGHTENED: &str = "tightened-";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    tables: Digest,
    signature: String,
    seen: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Good {
    tables: Digest,
    sequence: u64,
    signature: String,
}
