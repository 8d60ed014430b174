//! Ed25519 keys in the files that OpenSSL reads and writes: PKCS#8 PEM for secrets, SPKI PEM for public keys (RFC 8410).

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ed25519_dalek::Signer;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use rand_core::{OsRng, RngCore};

use super::aside::{AsideError, open_file, write_aside};
use crate::model::Digest;

/// A key file of Ed25519 is about 120 bytes.
const MAX_KEY_FILE: u64 = 16 * 1024;

/// A key that cannot be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] AsideError),
    /// The text is not a key of the wanted kind.
    #[error(
        "{place} is not an Ed25519 {wanted}: {reason}; `openssl genpkey -algorithm ed25519` makes a secret key, `openssl pkey -pubout` its public one"
    )]
    Format {
        /// File name or `the key`.
        place: String,
        /// What was wanted.
        wanted: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// The kernel gave no random bytes.
    #[error("cannot make a key: the system's random generator failed: {0}")]
    Random(String),
}

/// A secret signing key.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl SigningKey {
    /// A new key from the system's random generator.
    ///
    /// # Errors
    /// Where the generator fails (`getrandom(2)`).
    pub fn generate() -> Result<SigningKey, KeyError> {
        let mut seed = [0; 32];
        OsRng.try_fill_bytes(&mut seed).map_err(|e| KeyError::Random(e.to_string()))?;
        Ok(SigningKey(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// Reads PKCS#8 PEM (`-----BEGIN PRIVATE KEY-----`).
    ///
    /// # Errors
    /// [`KeyError::Format`] for anything else.
    pub fn from_pem(text: &str) -> Result<SigningKey, KeyError> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(text).map(SigningKey).map_err(|e| KeyError::Format {
            place: "the key".into(),
            wanted: "secret key (PKCS#8 PEM)",
            reason: e.to_string(),
        })
    }

    /// Reads a file of PKCS#8 PEM.
    ///
    /// # Errors
    /// Where the file cannot be read or is not such a key.
    pub fn read(path: &Path) -> Result<SigningKey, KeyError> {
        in_file(path, SigningKey::from_pem(&read_text(path)?))
    }

    /// The key as PKCS#8 PEM.
    ///
    /// # Errors
    /// Never for a valid key; the encoder's type has an error.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        // The version without the public key (RFC 8410, section 7): OpenSSL before 3.0 reads no other.
        let bytes = ed25519_dalek::pkcs8::KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        bytes.to_pkcs8_pem(LineEnding::LF).map(|pem| pem.to_string()).map_err(|e| KeyError::Format {
            place: "the key".into(),
            wanted: "secret key (PKCS#8 PEM)",
            reason: e.to_string(),
        })
    }

    /// Writes the key for its owner only (0600).
    ///
    /// # Errors
    /// Where the file cannot be written; what was there before is then unchanged.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        Ok(write_aside(path, self.to_pem()?.as_bytes(), 0o600)?)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs bytes (RFC 8032, pure Ed25519; deterministic).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().key_id())
    }
}

impl PublicKey {
    /// Reads SPKI PEM (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    /// [`KeyError::Format`] for anything else.
    pub fn from_pem(text: &str) -> Result<PublicKey, KeyError> {
        let bad =
            |reason: String| KeyError::Format { place: "the key".into(), wanted: "public key (SPKI PEM)", reason };
        let key = ed25519_dalek::VerifyingKey::from_public_key_pem(text).map_err(|e| bad(e.to_string()))?;
        if key.is_weak() {
            return Err(bad("it is a point of small order, under which any signature can verify".into()));
        }
        Ok(PublicKey(key))
    }

    /// Reads a file of SPKI PEM.
    ///
    /// # Errors
    /// Where the file cannot be read or is not such a key.
    pub fn read(path: &Path) -> Result<PublicKey, KeyError> {
        in_file(path, PublicKey::from_pem(&read_text(path)?))
    }

    /// The key as SPKI PEM.
    pub fn to_pem(&self) -> String {
        // An Ed25519 key has one encoding of fixed length, which the encoder's buffer holds.
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// Name of the key: SHA-256 of its SPKI DER in hex. A hint to find the key, never a proof.
    pub fn key_id(&self) -> String {
        // SPKI of Ed25519: a fixed prefix (RFC 8410, section 4) and the 32 bytes of the key.
        let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        der.extend_from_slice(self.0.as_bytes());
        Digest::of(&der).hex()
    }

    /// Whether the key made the signature over the bytes; malleable and small-order forms are refused.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature).is_ok_and(|s| self.0.verify_strict(message, &s).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

fn read_text(path: &Path) -> Result<String, KeyError> {
    let read = || {
        let mut text = String::new();
        open_file(path)?.take(MAX_KEY_FILE).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| KeyError::Read { path: path.to_owned(), source })
}

/// Names the file in a format error.
fn in_file<T>(path: &Path, result: Result<T, KeyError>) -> Result<T, KeyError> {
    result.map_err(|e| match e {
        KeyError::Format { wanted, reason, .. } => {
            KeyError::Format { place: path.display().to_string(), wanted, reason }
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    // `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` of OpenSSL 3.0.
    const OPENSSL_SECRET: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const OPENSSL_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn reads_and_writes_what_openssl_writes() {
        // The pair is that of RFC 8410, section 10.
        let secret = SigningKey::from_pem(OPENSSL_SECRET).unwrap();
        assert_eq!(secret.to_pem().unwrap(), OPENSSL_SECRET);
        assert_eq!(secret.public().to_pem(), OPENSSL_PUBLIC);
        let public = PublicKey::from_pem(OPENSSL_PUBLIC).unwrap();
        assert_eq!(public, secret.public());
        // openssl pkey -pubin -outform DER | sha256sum
        assert_eq!(public.key_id(), "a1e9156054e04fac899ae9f275132cdc07a5dbc4ea2c2ad3a1ffc6e0d253681f");
    }

    #[test]
    fn signature_of_rfc_8032_test_1() {
        let mut seed = [0; 32];
        hex::decode_to_slice("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", &mut seed).unwrap();
        let key = SigningKey(ed25519_dalek::SigningKey::from_bytes(&seed));
        let expected = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
        assert_eq!(hex::encode(key.sign(b"")), expected);
        assert!(key.public().verifies(b"", &hex::decode(expected).unwrap()));
    }

    #[test]
    fn files_are_private_and_errors_name_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.key");
        let key = SigningKey::generate().unwrap();
        key.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::read(&path).unwrap().public(), key.public());
        let as_public = PublicKey::read(&path).unwrap_err().to_string();
        assert!(as_public.contains("policy.key") && as_public.contains("SPKI"), "{as_public}");
        assert!(matches!(SigningKey::read(&dir.path().join("none")), Err(KeyError::Read { .. })));
    }

    #[test]
    fn hostile_text_is_refused() {
        let half = &OPENSSL_PUBLIC[..60];
        let rsa = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        // The neutral element: every signature with R = [S]B would verify under it.
        let weak = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n";
        for bad in ["", "\0", half, rsa, weak, OPENSSL_SECRET, &"-".repeat(100_000)] {
            assert!(PublicKey::from_pem(bad).is_err());
            assert!(bad == OPENSSL_SECRET || SigningKey::from_pem(bad).is_err());
        }
    }
}
