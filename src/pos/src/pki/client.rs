//! Certificates of those who connect: operators and instances.

use kiln_base::model::Digest;
use rand_core::{OsRng, RngCore};
use rcgen::{
    CertificateSigningRequestParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};

use super::error::PkiError;
use super::params::params;

/// Longest CSR, in bytes.
pub const MAX_CSR: usize = 16 * 1024;

/// A certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// PEM.
    pub pem: String,
    /// SHA-256 of the DER.
    pub fingerprint: Digest,
    /// Milliseconds since 1970.
    pub expires: i64,
}

/// A certificate request that is not taken.
#[derive(Debug, thiserror::Error)]
pub enum CsrError {
    /// Its length.
    #[error("the CSR is longer than 16 KiB")]
    TooLong,
    /// It is not PKCS#10, or its signature does not hold.
    #[error(transparent)]
    Damaged(#[from] rcgen::Error),
    /// Its key.
    #[error("the key must be ECDSA P-256 or Ed25519")]
    KeyType,
}

/// The system's random generator failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoRandom(pub String);

/// A key from a CSR whose self-signature holds.
pub struct ClientKey(pub(super) rcgen::PublicKey);

impl ClientKey {
    /// Reads PKCS#10 PEM and checks its signature and the key's type.
    ///
    /// # Errors
    /// Where the request is not one, or not signed by its key, or the key is of another type.
    pub fn from_csr(pem: &str) -> Result<ClientKey, CsrError> {
        if pem.len() > MAX_CSR {
            return Err(CsrError::TooLong);
        }
        let csr = CertificateSigningRequestParams::from_pem(pem)?;
        let algorithm = csr.public_key.algorithm();
        if algorithm != &rcgen::PKCS_ECDSA_P256_SHA256 && algorithm != &rcgen::PKCS_ED25519 {
            return Err(CsrError::KeyType);
        }
        Ok(ClientKey(csr.public_key))
    }

    /// The key's SPKI, DER.
    pub fn spki(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }
}

/// A new instance id.
///
/// # Errors
/// Where the system's random generator fails.
pub fn new_instance_id() -> Result<String, NoRandom> {
    let mut bytes = [0; 8];
    OsRng.try_fill_bytes(&mut bytes).map_err(|e| NoRandom(e.to_string()))?;
    Ok(format!("i-{}", hex::encode(bytes)))
}

/// Makes a certificate to connect with.
pub(super) fn client(
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    unit: &str,
    key: &impl PublicKeyData,
    days: u64,
) -> Result<Issued, PkiError> {
    let mut params = params(&[], name, unit, days)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let expires = params.not_after.unix_timestamp() * 1000;
    let cert = params.signed_by(key, issuer)?;
    Ok(Issued { pem: cert.pem(), fingerprint: Digest::of(cert.der()), expires })
}
