//! Tables files: what the POS checks of one, and the few that many agents ask for at once.

use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use kiln_base::abi::{Tables, TablesError};
use kiln_base::model::Digest;

/// Files kept in memory: after an assignment a fleet asks for the same one.
const KEPT: usize = 4;

/// What is kept of a tables file beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Digest of the kernel part: what an agent must read back.
    pub kernel_part: Digest,
    /// The policy that it was compiled from.
    pub policy: Digest,
    /// The serial that it was compiled as.
    pub serial: u64,
}

/// Reads and checks a tables file.
///
/// # Errors
/// Where the agents would not take it either.
pub fn check(bytes: &[u8]) -> Result<Checked, TablesError> {
    let tables = Tables::read(bytes)?;
    Ok(Checked {
        kernel_part: Digest::of(&tables.kernel.to_bytes()),
        policy: tables.metadata.policy,
        serial: tables.metadata.serial,
    })
}

/// Whether a digest is that of a kernel part for some host: an agent enforces the one for its own.
pub fn is_part(bytes: &[u8], digest: Digest) -> bool {
    Tables::read(bytes).is_ok_and(|tables| tables.all().any(|one| Digest::of(&one.kernel.to_bytes()) == digest))
}

/// The files that were asked for last, newest first.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Vec<(Digest, Bytes)>>);

impl Recent {
    /// The file, if it is kept.
    pub fn get(&self, digest: Digest) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(d, _)| *d == digest).map(|(_, bytes)| bytes.clone())
    }

    /// Keeps a file; the one that was put first goes.
    pub fn put(&self, digest: Digest, bytes: &Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(d, _)| *d != digest);
        kept.insert(0, (digest, bytes.clone()));
        kept.truncate(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;
    use kiln_base::wire::Code;

    #[test]
    fn keeps_the_last_few_and_refuses_bad_tables() {
        let recent = Recent::default();
        let digest = |n: u8| Digest::of(&[n]);
        (0..6).for_each(|n| recent.put(digest(n), &Bytes::from(vec![n])));
        assert_eq!(recent.get(digest(5)), Some(Bytes::from(vec![5])));
        assert_eq!(recent.get(digest(1)), None);
        assert_eq!(recent.0.lock().unwrap().len(), KEPT);
        for bad in [&b""[..], b"KILNTAB1", &[0xff; 4096]] {
            assert_eq!(Problem::from(check(bad).unwrap_err()).code, Code::BadTables);
        }
    }
}
