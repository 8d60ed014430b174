//! The folder of public keys that an image trusts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::keys::{KeyError, PublicKey};

/// Most keys of a trust folder.
const MAX_KEYS: usize = 64;

/// Which keys may say what.
#[derive(Debug, Clone)]
pub struct TrustedKeys {
    policy: Vec<PublicKey>,
    assignment: Vec<PublicKey>,
    tighten: Vec<PublicKey>,
}

/// A trust folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The folder cannot be listed.
    #[error("cannot read the trust folder {}: {source}", path.display())]
    Read {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key in it is not one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// One key in two roles: who has the POS's key could then sign policies.
    #[error(
        "key {0} is trusted in two roles; use one key for each (policy*.pub for policies, pos*.pub for assignments, \
         tighten*.pub for tightened policies)"
    )]
    BothRoles(String),
    /// No policy key: nothing could ever be verified.
    #[error("{} holds no policy key (policy*.pub); no policy can be verified", path.display())]
    NoPolicyKey {
        /// Which folder.
        path: PathBuf,
    },
    /// Implausibly many keys.
    #[error("{} holds more than {MAX_KEYS} keys", path.display())]
    TooMany {
        /// Which folder.
        path: PathBuf,
    },
}

impl TrustedKeys {
    /// Keys for policies and keys for assignments.
    ///
    /// # Errors
    /// [`TrustError::BothRoles`] if a key is in both lists.
    pub fn new(policy: Vec<PublicKey>, assignment: Vec<PublicKey>) -> Result<TrustedKeys, TrustError> {
        match policy.iter().find(|key| assignment.contains(key)) {
            Some(key) => Err(TrustError::BothRoles(key.key_id())),
            None => Ok(TrustedKeys { policy, assignment, tighten: Vec::new() }),
        }
    }

    /// The same with keys for tightened policies.
    ///
    /// # Errors
    /// [`TrustError::BothRoles`] if a key has another role already.
    pub fn tightened_by(self, tighten: Vec<PublicKey>) -> Result<TrustedKeys, TrustError> {
        match tighten.iter().find(|key| self.policy.contains(key) || self.assignment.contains(key)) {
            Some(key) => Err(TrustError::BothRoles(key.key_id())),
            None => Ok(TrustedKeys { tighten, ..self }),
        }
    }

    /// Reads `policy*.pub`, `pos*.pub` and `tighten*.pub` of a folder, in the order of their names; other files are not
    /// looked at.
    ///
    /// # Errors
    /// Where the folder cannot be read, holds no policy key, or any such file is not a key: a broken key is never skipped,
    /// since that would hide a broken image until the key is needed.
    pub fn read(folder: &Path) -> Result<TrustedKeys, TrustError> {
        let unreadable = |source| TrustError::Read { path: folder.to_owned(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            if name.to_str().is_some_and(|n| n.ends_with(".pub")) {
                names.push(name);
            }
            if names.len() > MAX_KEYS {
                return Err(TrustError::TooMany { path: folder.to_owned() });
            }
        }
        names.sort();
        let (mut policy, mut assignment, mut tighten) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let path = folder.join(&name);
            match name.to_str() {
                Some(n) if n.starts_with("policy") => policy.push(PublicKey::read(&path)?),
                Some(n) if n.starts_with("pos") => assignment.push(PublicKey::read(&path)?),
                Some(n) if n.starts_with("tighten") => tighten.push(PublicKey::read(&path)?),
                _ => {}
            }
        }
        if policy.is_empty() {
            return Err(TrustError::NoPolicyKey { path: folder.to_owned() });
        }
        TrustedKeys::new(policy, assignment)?.tightened_by(tighten)
    }

    /// Keys that may sign policy statements.
    pub fn policy(&self) -> &[PublicKey] {
        &self.policy
    }

    /// Keys that may sign assignments.
    pub fn assignment(&self) -> &[PublicKey] {
        &self.assignment
    }

    /// Keys that may sign tightened policies.
    pub fn tighten(&self) -> &[PublicKey] {
        &self.tighten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::SigningKey;

    #[test]
    fn reads_a_folder_by_role() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<_> = (0..4).map(|_| SigningKey::generate().unwrap().public()).collect();
        for (name, key) in ["policy.pub", "policy-next.pub", "pos.pub", "tighten.pub"].iter().zip(&keys) {
            fs::write(dir.path().join(name), key.to_pem()).unwrap();
        }
        fs::write(dir.path().join("pos-ca.pem"), "not looked at").unwrap();
        let trusted = TrustedKeys::read(dir.path()).unwrap();
        assert_eq!(trusted.policy(), [keys[1].clone(), keys[0].clone()]);
        assert_eq!(trusted.assignment(), [keys[2].clone()]);
        assert_eq!(trusted.tighten(), [keys[3].clone()]);
        fs::write(dir.path().join("policy-bad.pub"), "x").unwrap();
        let error = TrustedKeys::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("policy-bad.pub"), "{error}");
    }

    #[test]
    fn refuses_folders_without_policy_key_and_keys_with_both_roles() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(TrustedKeys::read(dir.path()), Err(TrustError::NoPolicyKey { .. })));
        assert!(matches!(TrustedKeys::read(&dir.path().join("none")), Err(TrustError::Read { .. })));
        let key = SigningKey::generate().unwrap().public();
        fs::write(dir.path().join("policy.pub"), key.to_pem()).unwrap();
        for second in ["pos.pub", "tighten.pub"] {
            fs::write(dir.path().join(second), key.to_pem()).unwrap();
            assert!(matches!(TrustedKeys::read(dir.path()), Err(TrustError::BothRoles(_))), "{second}");
            fs::remove_file(dir.path().join(second)).unwrap();
        }
    }
}
