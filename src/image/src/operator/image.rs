//! What a baked image says to a POS about itself, read from its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_base::bundle::{
    Envelope, EnvelopeError, KeyError, PolicyStatement, PublicKey, StatementError, TrustError, TrustedKeys,
};
use kiln_base::model::Digest;
use kiln_base::wire::RegisterImage;
use serde::Deserialize;

use crate::bake::{self, BakeError, layout};

/// An image that cannot be registered.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The image cannot be read.
    #[error(transparent)]
    Read(#[from] BakeError),
    /// It was not baked.
    #[error("{} has no /{path}; run `kiln bake` on it first", target.display())]
    NotBaked {
        /// The image.
        target: PathBuf,
        /// What it lacks.
        path: String,
    },
    /// The manifest does not parse.
    #[error("the image's manifest.json is not one of `kiln bake`: {0}; bake the image again")]
    Manifest(String),
    /// A file is not what the manifest says.
    #[error("/{path} is not the file that was baked; bake the image again")]
    Changed {
        /// Which.
        path: String,
    },
    /// The signature file.
    #[error("the image's policy.dsse.json: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The statement.
    #[error("the image would refuse its own policy: {0}")]
    Statement(#[from] StatementError),
    /// A policy key.
    #[error("a trusted key of the image: {0}")]
    Key(#[from] KeyError),
    /// The keys together.
    #[error("the image's trusted keys: {0}")]
    Trust(#[from] TrustError),
    /// No CA of a POS.
    #[error(
        "the image trusts no POS; bake it with `--trust DATA`, DATA being the POS's data folder (or a copy of its pos-ca.pem and pos-assign.pub)"
    )]
    NoPos,
    /// Another one's CA.
    #[error("the image trusts the CA of another POS; bake it with `--trust` of this one")]
    OtherPos,
}

/// The files of an image that its registration is made of.
#[derive(Debug, Clone)]
pub struct BakedImage {
    /// `manifest.json`.
    pub manifest: Vec<u8>,
    /// `policy.tables`.
    pub tables: Vec<u8>,
    /// `policy.dsse.json`.
    pub signature: Vec<u8>,
    /// Trusted keys and certificates by file name.
    pub trust: BTreeMap<String, Vec<u8>>,
}

/// What of the manifest counts here.
#[derive(Deserialize)]
struct Manifest {
    files: BTreeMap<String, Digest>,
}

impl BakedImage {
    /// Reads what the registration is made of. Links of the image are not followed.
    ///
    /// # Errors
    /// Where the image cannot be read, or was not baked.
    pub fn read(target: &Path, partition: Option<u32>) -> Result<BakedImage, ImageError> {
        let image = bake::open(target, partition)?;
        let file = |path: &str| -> Result<Vec<u8>, ImageError> {
            match image.find(path)? {
                Some(_) => Ok(image.read(path)?),
                None => Err(ImageError::NotBaked { target: target.to_owned(), path: path.to_owned() }),
            }
        };
        let mut trust = BTreeMap::new();
        for name in image.list(layout::TRUST)? {
            let bytes = file(&format!("{}/{name}", layout::TRUST))?;
            trust.insert(name, bytes);
        }
        Ok(BakedImage {
            manifest: file(layout::MANIFEST)?,
            tables: file(layout::TABLES)?,
            signature: file(layout::SIGNATURE)?,
            trust,
        })
    }

    /// The image's identity: the digest of its manifest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// Checks the files against the manifest at `lib` (`usr/lib/kiln`), the signature against the image's own keys and the trusted CA against
    /// the POS's, and makes the registration.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn registration(
        &self,
        lib: &str,
        name: &str,
        pos_ca: &str,
    ) -> Result<(RegisterImage, PolicyStatement), ImageError> {
        let manifest: Manifest =
            serde_json::from_slice(&self.manifest).map_err(|e| ImageError::Manifest(e.to_string()))?;
        let parts = [("policy.tables".to_owned(), &self.tables), ("policy.dsse.json".to_owned(), &self.signature)];
        let trust = self.trust.iter().map(|(name, bytes)| (format!("trust/{name}"), bytes));
        for (path, bytes) in parts.into_iter().chain(trust) {
            if manifest.files.get(&format!("/{lib}/{path}")) != Some(&Digest::of(bytes)) {
                return Err(ImageError::Changed { path: format!("{lib}/{path}") });
            }
        }
        let mut keys = Vec::new();
        for (name, bytes) in &self.trust {
            if name.starts_with("policy") && name.ends_with(".pub") {
                keys.push(PublicKey::from_pem(&String::from_utf8_lossy(bytes))?);
            }
        }
        let policy_keys = keys.iter().map(PublicKey::to_pem).collect();
        let envelope = Envelope::parse(&self.signature)?;
        let statement = PolicyStatement::verify(&envelope, &TrustedKeys::new(keys, Vec::new())?)?;
        statement.covers(&self.tables)?;
        match self.trust.get("pos-ca.pem") {
            None => return Err(ImageError::NoPos),
            Some(ca) if !same_text(&String::from_utf8_lossy(ca), pos_ca) => return Err(ImageError::OtherPos),
            Some(_) => {}
        }
        let request = RegisterImage {
            image: self.digest(),
            name: name.to_owned(),
            bundle: None,
            statement: envelope,
            policy_keys,
        };
        Ok((request, statement))
    }
}

/// PEM differs in line ends where it went through other systems.
fn same_text(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_base::bundle::SigningKey;

    fn image(key: &SigningKey) -> BakedImage {
        let tables = b"tables".to_vec();
        let statement =
            PolicyStatement { policy: Digest::of(b"pdl"), tables: Digest::of(&tables), serial: 1, name: "web".into() };
        let signature = statement.sign(key).to_json().into_bytes();
        let trust: BTreeMap<String, Vec<u8>> = [
            ("policy.pub".to_owned(), key.public().to_pem().into_bytes()),
            ("pos-ca.pem".to_owned(), b"a CA\n".to_vec()),
        ]
        .into();
        let mut files: BTreeMap<String, Digest> =
            trust.iter().map(|(n, b)| (format!("/lib/trust/{n}"), Digest::of(b))).collect();
        files.insert("/lib/policy.tables".into(), Digest::of(&tables));
        files.insert("/lib/policy.dsse.json".into(), Digest::of(&signature));
        let manifest = serde_json::json!({"files": files}).to_string().into_bytes();
        BakedImage { manifest, tables, signature, trust }
    }

    #[test]
    fn a_baked_image_is_registered_as_it_is() {
        let key = SigningKey::generate().unwrap();
        let good = image(&key);
        let (request, statement) = good.registration("lib", "web", "a CA\r\n").unwrap();
        assert_eq!((request.image, statement.serial), (Digest::of(&good.manifest), 1));
        assert_eq!(request.policy_keys, [key.public().to_pem()]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let key = SigningKey::generate().unwrap();
        let good = image(&key);
        let refuse = |image: &BakedImage, ca: &str| image.registration("lib", "web", ca).unwrap_err();
        assert!(matches!(refuse(&good, "another CA"), ImageError::OtherPos));
        let mut changed = good.clone();
        changed.tables.push(0);
        assert!(matches!(refuse(&changed, "a CA"), ImageError::Changed { path } if path == "lib/policy.tables"));
        let mut added = good.clone();
        added.trust.insert("policy-evil.pub".into(), key.public().to_pem().into_bytes());
        assert!(matches!(refuse(&added, "a CA"), ImageError::Changed { path } if path == "lib/trust/policy-evil.pub"));
        let garbage = BakedImage { manifest: b"\xff".to_vec(), ..good.clone() };
        assert!(matches!(refuse(&garbage, "a CA"), ImageError::Manifest(_)));
        let other = image(&SigningKey::generate().unwrap());
        let mut files: serde_json::Value = serde_json::from_slice(&good.manifest).unwrap();
        files["files"]["/lib/policy.dsse.json"] = serde_json::json!(Digest::of(&other.signature));
        let forged = BakedImage { signature: other.signature, manifest: files.to_string().into_bytes(), ..good };
        assert!(matches!(refuse(&forged, "a CA"), ImageError::Statement(_)));
    }
}
