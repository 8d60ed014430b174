//! Join tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kiln_base::model::Digest;
use rand_core::{OsRng, RngCore};

use super::pki::NoRandom;

/// What every token starts with, so that scanners for leaked secrets can know it.
pub const TOKEN_PREFIX: &str = "kjt1_";

/// A secret by which one machine may enrol.
pub struct JoinToken(String);

impl JoinToken {
    /// A new token of 256 random bits.
    ///
    /// # Errors
    /// Where the system's random generator fails.
    pub fn new() -> Result<JoinToken, NoRandom> {
        let mut bytes = [0; 32];
        OsRng.try_fill_bytes(&mut bytes).map_err(|e| NoRandom(e.to_string()))?;
        Ok(JoinToken(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// What the POS keeps. A plain hash is enough for 256 random bits.
    pub fn hash(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// The text, which is shown once.
    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_fit_where_credentials_go() {
        let (a, b) = (JoinToken::new().unwrap().into_text(), JoinToken::new().unwrap().into_text());
        assert_ne!(a, b);
        assert_eq!(a.len(), TOKEN_PREFIX.len() + 43);
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
    }
}
