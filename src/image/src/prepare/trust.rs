//! The keys and certificates that an image trusts, from folders that may hold secrets beside them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_base::bundle::{KeyError, PublicKey, SigningKey, open_file};

/// Largest file of a trust folder.
const MAX: u64 = 64 << 10;

/// A folder of keys that an image cannot trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustFilesError {
    /// The folder cannot be listed.
    #[error("cannot read the trust folder {}", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not text.
    #[error("{} is neither a key nor a certificate in PEM", path.display())]
    NotPem {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Larger than any key.
    #[error("{} has more than {MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// A secret under a public name.
    #[error("{} holds a secret key; it must not go into an image", .0.display())]
    Secret(PathBuf),
    /// Not a public key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Something else between the lines of a certificate.
    #[error("{} has a block that is not a certificate", .0.display())]
    NotACertificate(PathBuf),
    /// Nothing in it.
    #[error("{} has no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// Two files of one name.
    #[error("two trust folders have different files named {0}; rename one")]
    Twice(String),
    /// Nothing is trusted.
    #[error("no trusted keys: give --trust DIR with a policy*.pub, or --key")]
    NoKeys,
}

/// The public keys and certificates for the image, by file name: those of the folders, or the key's public half where
/// no folder is given.
///
/// # Errors
/// Where a file is not what its name says, or nothing is trusted.
pub fn files(dirs: &[PathBuf], key: Option<&SigningKey>) -> Result<BTreeMap<String, Vec<u8>>, TrustFilesError> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for dir in dirs {
        let entries = fs::read_dir(dir).map_err(|source| TrustFilesError::Folder { path: dir.clone(), source })?;
        for entry in entries {
            let path = entry.map_err(unreadable(dir))?.path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
            let public =
                name.ends_with(".pub") && ["policy", "pos", "tighten"].iter().any(|role| name.starts_with(role));
            if !public && name != "pos-ca.pem" {
                continue;
            }
            // Written anew from what was read, so that nothing but the key or the certificates goes into an image.
            let bytes = if public { public_key(&path)? } else { certificates(&path)? };
            let known = files.insert(name.to_owned(), bytes.clone());
            if known.is_some_and(|k| k != bytes) {
                return Err(TrustFilesError::Twice(name.to_owned()));
            }
        }
    }
    if dirs.is_empty()
        && let Some(key) = key
    {
        files.insert("policy.pub".to_owned(), key.public().to_pem().into_bytes());
    }
    if files.is_empty() { Err(TrustFilesError::NoKeys) } else { Ok(files) }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> TrustFilesError {
    move |source| TrustFilesError::Read { path: path.to_owned(), source }
}

/// A public key file. A folder that holds secrets beside public keys is normal; a secret under a public name is not.
fn public_key(path: &Path) -> Result<Vec<u8>, TrustFilesError> {
    let secret = SigningKey::read(path).is_ok() || text(path)?.contains("PRIVATE KEY");
    if secret {
        return Err(TrustFilesError::Secret(path.to_owned()));
    }
    Ok(PublicKey::read(path)?.to_pem().into_bytes())
}

fn text(path: &Path) -> Result<String, TrustFilesError> {
    let file = open_file(path).map_err(unreadable(path))?;
    let mut text = String::new();
    let read = file.take(MAX + 1).read_to_string(&mut text);
    read.map_err(|source| TrustFilesError::NotPem { path: path.to_owned(), source })?;
    if text.len() as u64 > MAX { Err(TrustFilesError::TooLarge(path.to_owned())) } else { Ok(text) }
}

/// The certificates of a PEM file, and nothing else of it.
fn certificates(path: &Path) -> Result<Vec<u8>, TrustFilesError> {
    let text = text(path)?;
    if text.contains("PRIVATE KEY") {
        return Err(TrustFilesError::Secret(path.to_owned()));
    }
    let (mut out, mut block) = (String::new(), None::<String>);
    for line in text.lines().map(str::trim_end) {
        match (line, &mut block) {
            ("-----BEGIN CERTIFICATE-----", None) => block = Some(String::new()),
            ("-----END CERTIFICATE-----", Some(body)) => {
                // A certificate is a sequence that begins with a sequence (RFC 5280); a key begins with a number.
                let der = STANDARD.decode(body.replace('\n', ""));
                let der = der.unwrap_or_default();
                let long = der.get(1).is_some_and(|n| n & 0x80 != 0);
                let at = if long { 2 + usize::from(der[1] & 0x7f) } else { 2 };
                let good = der.first() == Some(&0x30) && der.get(at) == Some(&0x30);
                if !good {
                    return Err(TrustFilesError::NotACertificate(path.to_owned()));
                }
                out.push_str(&format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"));
                block = None;
            }
            (line, Some(body)) => body.extend([line, "\n"]),
            (_, None) => {}
        }
    }
    if block.is_some() || out.is_empty() {
        return Err(TrustFilesError::NoCertificate(path.to_owned()));
    }
    Ok(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_keys_and_certificates_of_a_folder_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let (public, secret) = (key.public().to_pem(), key.to_pem().unwrap());
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let certificate = "-----BEGIN CERTIFICATE-----\nMAIwAA==\n-----END CERTIFICATE-----\n";
        put("policy.key", &secret);
        put("policy.pub", &format!("a note\n{public}"));
        put("pos-ca.pem", &format!("subject=x\n{certificate}"));
        put("readme", "x");
        let dirs = [dir.path().to_owned()];
        let found = files(&dirs, None).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["policy.pub", "pos-ca.pem"]);
        assert_eq!(found["pos-ca.pem"], certificate.as_bytes());
        assert_eq!(found["policy.pub"], public.as_bytes());
        assert_eq!(files(&[], Some(&key)).unwrap()["policy.pub"], public.as_bytes());
        assert!(matches!(files(&[], None), Err(TrustFilesError::NoKeys)));
        for (name, text, says) in [
            ("policy-2.pub", secret.as_str(), "holds a secret key"),
            ("pos-ca.pem", &format!("{certificate}{secret}"), "holds a secret key"),
            ("pos-ca.pem", "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n", "not a certificate"),
            ("pos-ca.pem", "-----BEGIN CERTIFICATE-----\nMAIwAA==\n", "no certificate"),
            ("pos-ca.pem", &"x".repeat(70_000), "more than 65536 bytes"),
        ] {
            let other = tempfile::tempdir().unwrap();
            fs::write(other.path().join(name), text).unwrap();
            let said = files(&[other.path().to_owned()], None).unwrap_err().to_string();
            assert!(said.contains(says), "{name}: {said}");
        }
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("policy.pub"), SigningKey::generate().unwrap().public().to_pem()).unwrap();
        let both = [dirs[0].clone(), other.path().to_owned()];
        assert!(matches!(files(&both, None), Err(TrustFilesError::Twice(name)) if name == "policy.pub"));
    }
}
