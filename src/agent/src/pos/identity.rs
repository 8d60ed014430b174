//! Who this machine is to the POS: its key, its certificate, its id; and the join credential by which it gets them.

use std::path::Path;

use kiln_base::bundle::write_aside;
use kiln_base::wire::{JOIN_SCHEMA, JoinCredential};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::error::{AgentError, FileFault, JoinFault, PosFault, Result};
use crate::machine::files::{read_bounded, read_optional};
use crate::update::store::Store;

const MAX_FILE: u64 = 64 * 1024;

/// Reads the join credential from the folder that systemd names; `None` if the machine was given none.
///
/// # Errors
/// If it is there and is not understood.
pub fn join(credentials: Option<&Path>) -> Result<Option<JoinCredential>> {
    let Some(path) = credentials.map(|c| c.join("kiln.join")) else { return Ok(None) };
    let Some(bytes) = read_optional(&path, MAX_FILE)? else { return Ok(None) };
    parse_join(&bytes).map(Some).map_err(|fault| AgentError::Format { path, fault: fault.into() })
}

fn parse_join(bytes: &[u8]) -> std::result::Result<JoinCredential, JoinFault> {
    let join: JoinCredential = serde_json::from_slice(bytes)?;
    if join.schema != JOIN_SCHEMA {
        return Err(JoinFault::Schema(join.schema));
    }
    if join.pos.as_deref().is_some_and(|p| !p.starts_with("https://")) {
        return Err(JoinFault::Pos);
    }
    if join.token.len() > 256 || !join.token.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
        return Err(JoinFault::Token);
    }
    Ok(join)
}

/// A machine that is enrolled.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `i-…`.
    pub instance: String,
    /// Where the POS is.
    pub pos: String,
    /// PKCS#8 PEM.
    pub key: String,
    /// PEM.
    pub certificate: String,
}

fn text(path: &Path) -> Result<Option<String>> {
    let Some(bytes) = read_optional(path, MAX_FILE)? else { return Ok(None) };
    let bad = |_| AgentError::Format { path: path.to_owned(), fault: FileFault::NotUtf8 };
    String::from_utf8(bytes).map(Some).map_err(bad)
}

impl Identity {
    /// Reads what an enrolment left; `None` before it.
    ///
    /// # Errors
    /// If files cannot be read.
    pub fn read(store: &Store) -> Result<Option<Identity>> {
        let file = |name: &str| text(&store.path(name));
        match (file("instance")?, file("pos")?, file("instance.key")?, file("instance.crt")?) {
            (Some(instance), Some(pos), Some(key), Some(certificate)) => Ok(Some(Identity {
                instance: instance.trim().to_owned(),
                pos: pos.trim().to_owned(),
                key,
                certificate,
            })),
            _ => Ok(None),
        }
    }

    /// Keeps the result of an enrolment or renewal. The id is written last: with it the machine is enrolled.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, store: &Store) -> Result<()> {
        let id = self.instance.as_str();
        let plausible = !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !plausible {
            return Err(PosFault::InstanceId(id.to_owned()).into());
        }
        expiry(&self.certificate)?;
        write_aside(&store.path("instance.crt"), self.certificate.as_bytes(), 0o600)?;
        write_aside(&store.path("pos"), self.pos.as_bytes(), 0o600)?;
        Ok(write_aside(&store.path("instance"), id.as_bytes(), 0o600)?)
    }
}

/// The machine's own key; made and kept before the first try, so that a retried enrolment asks for the same.
///
/// # Errors
/// If it cannot be made, kept or read.
pub fn own_key(store: &Store) -> Result<KeyPair> {
    let path = store.path("instance.key");
    let crypto = |e: rcgen::Error| AgentError::Format { path: path.clone(), fault: e.into() };
    if path.exists() {
        let pem = read_bounded(&path, MAX_FILE)?;
        return KeyPair::from_pem(&String::from_utf8_lossy(&pem)).map_err(crypto);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
    write_aside(&path, key.serialize_pem().as_bytes(), 0o600)?;
    Ok(key)
}

/// A certificate request (PKCS#10 PEM); names in it mean nothing to the POS.
///
/// # Errors
/// If the key cannot sign.
pub fn request(key: &KeyPair) -> Result<String> {
    let request = CertificateParams::new(Vec::new()).and_then(|params| params.serialize_request(key)?.pem());
    Ok(request.map_err(PosFault::Request)?)
}

/// Begin and end of a certificate's validity, in seconds since the Unix epoch.
///
/// # Errors
/// If it is not a certificate in PEM.
pub fn expiry(certificate: &str) -> Result<(i64, i64)> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).map_err(PosFault::Pem)?;
    let certificate = pem.parse_x509().map_err(PosFault::Certificate)?;
    let validity = certificate.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// Whether a third of the validity or less is left.
pub fn should_renew((begin, end): (i64, i64), now: i64) -> bool {
    end.saturating_sub(now) <= end.saturating_sub(begin) / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials() {
        let good =
            parse_join(br#"{"schema":"kiln.join.v1","pos":"https://10.0.2.2:8443","token":"kjt1_ab-c"}"#).unwrap();
        assert_eq!((good.pos.as_deref(), good.token.as_str()), (Some("https://10.0.2.2:8443"), "kjt1_ab-c"));
        for bad in [
            &b""[..],
            b"\xff",
            br#"{"schema":"kiln.join.v2","token":"x"}"#,
            br#"{"schema":"kiln.join.v1"}"#,
            br#"{"schema":"kiln.join.v1","token":"a b"}"#,
            br#"{"schema":"kiln.join.v1","token":"x","pos":"http://a"}"#,
            "[".repeat(10_000).as_bytes(),
        ] {
            assert!(parse_join(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(join(None).unwrap(), None);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(join(Some(dir.path())).unwrap(), None);
    }

    #[test]
    fn the_key_is_made_once_and_the_identity_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let (first, again) = (own_key(&store).unwrap(), own_key(&store).unwrap());
        assert_eq!(first.public_key_pem(), again.public_key_pem());
        assert!(request(&first).unwrap().contains("CERTIFICATE REQUEST"));
        assert!(Identity::read(&store).unwrap().is_none());
        let certificate = CertificateParams::new(vec!["x".into()]).unwrap().self_signed(&first).unwrap().pem();
        let identity = Identity {
            instance: "i-0123456789abcdef".into(),
            pos: "https://x".into(),
            key: first.serialize_pem(),
            certificate,
        };
        identity.write(&store).unwrap();
        let read = Identity::read(&store).unwrap().unwrap();
        assert_eq!((read.instance, read.certificate), (identity.instance.clone(), identity.certificate.clone()));
        for id in ["", "../x", "a b"] {
            assert!(Identity { instance: id.into(), ..identity.clone() }.write(&store).is_err(), "{id}");
        }
        assert!(Identity { certificate: "x".into(), ..identity }.write(&store).is_err());
    }

    #[test]
    fn renewal_is_due_when_a_third_is_left() {
        assert!(!should_renew((0, 300), 199));
        assert!(should_renew((0, 300), 200));
        assert!(should_renew((0, 300), 1000));
        assert!(should_renew((i64::MIN, i64::MAX), i64::MAX));
    }
}
