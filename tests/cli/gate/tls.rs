//! The SOC backend over TLS: who the server has to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::sink::Sink;
use super::soc::{deliver, send, wanted};

/// An authority and the file that names it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).expect("signed").pem()).expect("written");
        Authority { issuer: Issuer::new(params, key), file }
    }

    /// A server's configuration with a certificate for `name`.
    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        Arc::new(config.expect("key and certificate belong together"))
    }
}

const ADDRESS: &str = "127.0.0.1";

#[test]
fn a_server_of_the_authority_is_posted_to() {
    let folder = tempfile::tempdir().expect("a directory");
    let ours = Authority::new(folder.path(), "ours");
    let sink = Sink::start(Vec::new(), Some(ours.server(ADDRESS, |_| ())));
    let (endpoint, all) = (format!("https://{ADDRESS}:{}/in", sink.port), wanted(0..20));
    send(&endpoint, folder.path(), Some(&ours.file), 0..20);
    assert_eq!(deliver(&sink, &endpoint, folder.path(), Some(&ours.file), &all), all);
}

/// The gate says nothing to the server that it meets first, and all of it to the one that it meets then.
fn refuses(first: impl FnOnce(&Authority, &Authority) -> Arc<ServerConfig>) {
    let folder = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "theirs"));
    let sink = Sink::start(Vec::new(), Some(first(&ours, &theirs)));
    let endpoint = format!("https://{ADDRESS}:{}/in", sink.port);
    send(&endpoint, folder.path(), Some(&ours.file), 0..20);
    let said: Vec<String> = sink.broken.try_iter().collect();
    assert!(!said.is_empty(), "the gate has tried");
    assert!(said.iter().all(|error| error.starts_with("handshake")), "it has gone at the certificate: {said:?}");
    assert!(sink.names().is_empty(), "and has told nothing");

    sink.present(ours.server(ADDRESS, |_| ()));
    let all = wanted(0..30);
    send(&endpoint, folder.path(), Some(&ours.file), 20..30);
    assert_eq!(deliver(&sink, &endpoint, folder.path(), Some(&ours.file), &all), all);
}

#[test]
fn a_server_of_another_authority_is_told_nothing_and_nothing_is_lost() {
    refuses(|_, theirs| theirs.server(ADDRESS, |_| ()));
}

#[test]
fn a_server_whose_certificate_is_over_is_told_nothing_and_nothing_is_lost() {
    refuses(|ours, _| {
        ours.server(ADDRESS, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    });
}

#[test]
fn a_server_of_another_name_is_told_nothing_and_nothing_is_lost() {
    refuses(|ours, _| ours.server("soc.example", |_| ()));
}

#[test]
fn a_server_without_tls_is_told_nothing() {
    let folder = tempfile::tempdir().expect("a directory");
    let ours = Authority::new(folder.path(), "ours");
    let sink = Sink::start(Vec::new(), None);
    let endpoint = format!("https://{ADDRESS}:{}/in", sink.port);
    send(&endpoint, folder.path(), Some(&ours.file), 0..5);
    assert!(sink.names().is_empty());
    sink.present(ours.server(ADDRESS, |_| ()));
    let all = wanted(0..5);
    assert_eq!(deliver(&sink, &endpoint, folder.path(), Some(&ours.file), &all), all);
}

#[test]
fn an_authority_file_without_a_certificate_is_an_error() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("empty.pem");
    std::fs::write(&file, "no certificate\n").expect("written");
    let output = super::gate()
        .args(["--apply-enforcement", "--enforcement-backends", "soc", "--soc-endpoint", "https://127.0.0.1:9/in"])
        .arg("--soc-ca")
        .arg(&file)
        .arg("--soc-spool")
        .arg(folder.path().join("spool"))
        .write_stdin(super::soc::suspicious(0..1))
        .output()
        .expect("kiln runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("the file holds no certificate"));
}
