//! TLS of the service: its own certificate, client certificates of its own CA or none.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::pki::Pki;

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file does not parse.
    #[error("the POS's certificate or key is not PEM: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// rustls refuses it.
    #[error("the POS's certificate or key cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    /// The verifier refuses the CA.
    #[error("the POS's CA cannot be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The configuration for [`tokio_rustls::TlsAcceptor`]. A client without a certificate gets through the handshake: enrolment is
/// such a client. What needs one checks it per request.
///
/// # Errors
/// Where a certificate or key is unusable.
pub fn config(pki: &Pki) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.ca_pem.as_bytes())?)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let chain = vec![CertificateDer::from_pem_slice(pki.server_pem.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(pki.server_key_pem.as_bytes())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
