//! The POS's own keys: its CA, its server certificate, its online assignment key, the first operator.
//!
//! ```text
//! DIR/pki/ca.key  ca.pem          signs server, operator and instance certificates
//! DIR/pki/server.key  server.pem  remade when names change or a third of its life is left
//! DIR/pki/assign.key              Ed25519; signs assignments, nothing else
//! DIR/operator/{key,cert,ca}.pem  the first operator's identity
//! DIR/pos-ca.pem  DIR/pos-assign.pub   to be baked as trust
//! ```

mod client;
mod error;
mod files;
mod params;
mod server;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use kiln_base::bundle::{SigningKey, write_aside};
use kiln_base::model::Digest;
use rcgen::{BasicConstraints, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

pub use client::{ClientKey, CsrError, Issued, NoRandom, new_instance_id};
pub use error::PkiError;

use client::client;
use files::{damaged, keep, key_pair, read};
use params::{LEAF_DAYS, params};
use server::server;

const CA_DAYS: u64 = 20 * 365;
const OPERATOR_DAYS: u64 = 5 * 365;

/// The POS's keys.
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    /// The CA's certificate, PEM.
    pub ca_pem: String,
    /// The server's certificate.
    pub server_pem: String,
    /// The server's key, PKCS#8 PEM.
    pub server_key_pem: String,
    /// Signs assignments.
    pub assign: Arc<SigningKey>,
    /// SHA-256 and expiry of the first operator's certificate.
    pub operator: (Digest, i64),
}

impl Pki {
    /// Reads the keys of a data folder; makes what is missing. `names` are what clients dial, beside localhost.
    ///
    /// # Errors
    /// Where a file is unreadable, unwritable or damaged, or a name is not one. Nothing that exists is overwritten but the server's
    /// certificate.
    pub fn open(data: &Path, names: &[String]) -> Result<Pki, PkiError> {
        let (pki, operator) = (data.join("pki"), data.join("operator"));
        for folder in [&pki, &operator] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|source| PkiError::File { path: folder.clone(), source })?;
        }
        let ca_key = key_pair(&pki.join("ca.key"))?;
        let ca_pem = ca(&pki.join("ca.pem"), &ca_key)?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca_key)?;
        let server_key = key_pair(&pki.join("server.key"))?;
        let server_pem = server(&pki.join("server.pem"), &server_key, &issuer, names)?;
        let assign_path = pki.join("assign.key");
        let assign = if assign_path.exists() {
            SigningKey::read(&assign_path)?
        } else {
            let key = SigningKey::generate()?;
            key.write(&assign_path)?;
            key
        };
        let operator = first_operator(&operator, &issuer, &ca_pem)?;
        keep(&data.join("pos-ca.pem"), ca_pem.as_bytes())?;
        keep(&data.join("pos-assign.pub"), assign.public().to_pem().as_bytes())?;
        Ok(Pki {
            issuer,
            ca_pem,
            server_pem,
            server_key_pem: server_key.serialize_pem(),
            assign: Arc::new(assign),
            operator,
        })
    }

    /// A client certificate for an instance's key.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn certify(&self, instance: &str, key: &ClientKey) -> Result<Issued, PkiError> {
        client(&self.issuer, instance, "instance", &key.0, LEAF_DAYS)
    }
}

fn ca(path: &Path, key: &KeyPair) -> Result<String, PkiError> {
    if let Some(pem) = read(path)? {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| damaged(path, e))?;
        let (_, cert) = x509_parser::parse_x509_certificate(&der).map_err(|e| damaged(path, e))?;
        if cert.public_key().raw != key.subject_public_key_info() {
            return Err(damaged(path, "it is not the certificate of ca.key"));
        }
        return Ok(pem);
    }
    // The name differs between services, so that a client's error says which CA it met.
    let id = hex::encode(&Digest::of(&key.subject_public_key_info()).as_bytes()[..4]);
    let mut params = params(&[], &format!("kiln POS {id}"), "ca", CA_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let pem = params.self_signed(key)?.pem();
    write_aside(path, pem.as_bytes(), 0o644)?;
    Ok(pem)
}

fn first_operator(folder: &Path, issuer: &Issuer<'_, KeyPair>, ca_pem: &str) -> Result<(Digest, i64), PkiError> {
    let cert_path = folder.join("cert.pem");
    let ca_path = folder.join("ca.pem");
    if read(&ca_path)?.as_deref() != Some(ca_pem) {
        write_aside(&ca_path, ca_pem.as_bytes(), 0o600)?;
    }
    let key = key_pair(&folder.join("key.pem"))?;
    if let Some(pem) = read(&cert_path)? {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| damaged(&cert_path, e))?;
        let (_, cert) = x509_parser::parse_x509_certificate(&der).map_err(|e| damaged(&cert_path, e))?;
        return Ok((Digest::of(&der), cert.validity().not_after.timestamp() * 1000));
    }
    let issued = client(issuer, "operator", "operator", &key, OPERATOR_DAYS)?;
    write_aside(&cert_path, issued.pem.as_bytes(), 0o600)?;
    Ok((issued.fingerprint, issued.expires))
}

#[cfg(test)]
mod tests {
    use super::client::MAX_CSR;
    use super::*;
    use crate::problem::Problem;
    use kiln_base::wire::Code;
    use rcgen::CertificateParams;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_start_changes_nothing_and_a_new_name_only_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), &[]).unwrap();
        let second = Pki::open(dir.path(), &[]).unwrap();
        assert_eq!((&first.ca_pem, &first.server_pem), (&second.ca_pem, &second.server_pem));
        assert_eq!(first.operator, second.operator);
        assert_eq!(first.assign.public().to_pem(), second.assign.public().to_pem());
        let named = Pki::open(dir.path(), &["10.0.2.2".into(), "pos.example".into(), "fe80::1".into()]).unwrap();
        assert_eq!(first.ca_pem, named.ca_pem);
        assert_ne!(first.server_pem, named.server_pem);
        let again = Pki::open(dir.path(), &["pos.example".into(), "fe80::1".into(), "10.0.2.2".into()]).unwrap();
        assert_eq!(named.server_pem, again.server_pem);
        for secret in ["pki/ca.key", "pki/server.key", "pki/assign.key", "operator/key.pem"] {
            let mode = fs::metadata(dir.path().join(secret)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
    }

    #[test]
    fn damage_is_reported_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path(), &[]).unwrap();
        for file in ["pki/ca.key", "pki/ca.pem", "pki/server.pem", "pki/assign.key", "operator/cert.pem"] {
            let path = dir.path().join(file);
            let before = fs::read(&path).unwrap();
            fs::write(&path, "garbage").unwrap();
            let error = Pki::open(dir.path(), &[]).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(file), "{file}: {error}");
            assert_eq!(fs::read(&path).unwrap(), b"garbage");
            fs::write(&path, before).unwrap();
        }
        Pki::open(dir.path(), &[]).unwrap();
    }

    #[test]
    fn names_and_requests_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "a b", "x\ny", "ü.example", &"a".repeat(300)] {
            assert!(matches!(Pki::open(dir.path(), &[name.into()]), Err(PkiError::Name { .. })), "{name}");
        }
        for csr in ["", "x", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"] {
            assert_eq!(ClientKey::from_csr(csr).err().map(|e| Problem::from(e).code), Some(Code::BadCsr));
        }
        assert_eq!(
            ClientKey::from_csr(&"x".repeat(MAX_CSR + 1)).err().map(|e| Problem::from(e).code),
            Some(Code::BadCsr)
        );
        let wrong = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let csr = CertificateParams::default().serialize_request(&wrong).unwrap().pem().unwrap();
        assert_eq!(ClientKey::from_csr(&csr).err().map(|e| Problem::from(e).code), Some(Code::BadCsr));
    }
}
