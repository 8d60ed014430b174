//! What may be done, decided on values alone: the same for every store.

use kiln_base::bundle::{Envelope, PolicyStatement, PublicKey, TrustedKeys};
use kiln_base::event::Evidence;
use kiln_base::model::Digest;
use kiln_base::wire::{AckOutcome, AckRequest};

use super::StoreError;
use crate::check;
use crate::evidence;

/// Most policy keys of an image.
const MAX_KEYS: usize = 16;
/// Most certificates of an instance that are valid at once.
pub const MAX_CERTIFICATES: u64 = 16;
/// How long an upload may wait for its statement.
pub const ORPHAN_MS: i64 = 24 * 3600 * 1000;

/// The policy keys of an image, each as the one text that this program writes: the same key is the same text.
pub fn image_keys(pems: &[String]) -> Result<(Vec<PublicKey>, Vec<String>), StoreError> {
    if pems.is_empty() || pems.len() > MAX_KEYS {
        return Err(StoreError::KeyCount(MAX_KEYS));
    }
    let keys = pems.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>, _>>()?;
    let mut texts: Vec<String> = keys.iter().map(PublicKey::to_pem).collect();
    texts.sort();
    texts.dedup();
    Ok((keys, texts))
}

/// The statement in an envelope if one of the keys signed it.
pub fn open_statement(envelope: &Envelope, keys: Vec<PublicKey>) -> Result<PolicyStatement, StoreError> {
    let trusted = TrustedKeys::new(keys, Vec::new())?;
    Ok(PolicyStatement::verify(envelope, &trusted)?)
}

/// A version's tables must be those that its statement means; `found` is what they were compiled from, and as which serial.
pub fn fits_tables(statement: &PolicyStatement, found: Option<(Digest, u64)>) -> Result<(), StoreError> {
    let tables = statement.tables;
    let Some((policy, serial)) = found else { return Err(StoreError::NotUploaded(tables)) };
    if (policy, serial) != (statement.policy, statement.serial) {
        let (stated_policy, stated_serial) = (statement.policy, statement.serial);
        return Err(StoreError::OtherTables { tables, policy, serial, stated_policy, stated_serial });
    }
    Ok(())
}

/// A serial stands for one version: `there` is what the serial has, policy and tables. Whether the version is there already.
pub fn same_version(statement: &PolicyStatement, there: Option<(Digest, Digest)>) -> Result<bool, StoreError> {
    match there {
        None => Ok(false),
        Some(found) if found == (statement.policy, statement.tables) => Ok(true),
        Some((_, there)) => Err(StoreError::SerialReused {
            name: statement.name.clone(),
            serial: statement.serial,
            there,
            these: statement.tables,
        }),
    }
}

/// An image's instances are assigned versions of its own policy.
pub fn of_policy(policy: &str, asked: &str) -> Result<(), StoreError> {
    if policy == asked {
        return Ok(());
    }
    Err(StoreError::WrongPolicy { policy: policy.to_owned(), asked: asked.to_owned() })
}

/// Assigned serials never fall.
pub fn not_older(at: u64, serial: u64) -> Result<(), StoreError> {
    if serial < at { Err(StoreError::OlderThanAssigned { at, serial }) } else { Ok(()) }
}

/// Who used a join token.
pub struct User {
    /// SPKI DER of its key.
    pub key: Vec<u8>,
    /// Whether it was revoked since.
    pub revoked: bool,
}

/// Whether a machine with this key may enrol by a token (`true`), or repeats an enrolment of its own (`false`).
pub fn redeem(expires: i64, user: Option<&User>, key: &[u8], now: i64) -> Result<bool, StoreError> {
    match user {
        Some(user) if user.revoked => Err(StoreError::RevokedToken),
        Some(user) if user.key == key => Ok(false),
        Some(_) => Err(StoreError::UsedToken),
        None if expires < now => Err(StoreError::ExpiredToken),
        None => Ok(true),
    }
}

/// The version of an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// Its serial.
    pub serial: u64,
    /// Its tables.
    pub tables: Digest,
    /// Digest of their kernel part.
    pub kernel_part: Digest,
}

/// What an acknowledgement says, once it holds.
pub enum Report<'a> {
    /// The kernel enforces it.
    Enforced(&'a Evidence),
    /// The agent refused it, for this reason.
    Refused(String),
}

/// Checks an acknowledgement against what was assigned.
pub fn acknowledged<'a>(ack: &'a AckRequest, assigned: &Assigned) -> Result<Report<'a>, StoreError> {
    match ack.outcome {
        AckOutcome::Enforced => {
            let found = ack.evidence.as_ref().ok_or(StoreError::NoEvidence)?;
            if ack.serial != assigned.serial || found.serial != ack.serial {
                return Err(StoreError::OtherSerial {
                    sequence: ack.sequence,
                    assigned: assigned.serial,
                    acknowledged: ack.serial,
                });
            }
            evidence::check(found, assigned.tables, assigned.kernel_part)?;
            Ok(Report::Enforced(found))
        }
        AckOutcome::Refused => {
            let reason = ack.reason.as_deref().unwrap_or_default();
            // An error's text may have several lines; it is shown in one, and can steer no terminal.
            let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            check::text("reason", &reason, 1024)?;
            Ok(Report::Refused(reason))
        }
    }
}
