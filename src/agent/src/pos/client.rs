//! HTTP over mutual TLS to the POS: its own CA and no other, no proxy, no redirects.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kiln_base::wire::ProblemBody;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::error::{Credential, PosFault, Result};
use crate::machine::files::read_bounded;
use crate::pos::failure::{self, Hitch, Refused};
use crate::pos::identity::Identity;

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);
/// Longest answer that is read into memory, tables aside.
const MAX_ANSWER: u64 = 1 << 20;

/// A client of one POS.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
}

impl Client {
    /// A client; with an identity it shows its certificate.
    ///
    /// # Errors
    /// If the CA, the certificate or the key is not understood.
    pub fn new(base: &str, ca: &Path, identity: Option<&Identity>) -> Result<Client> {
        let fail = |what| move |e| PosFault::Credential { what, source: Box::new(e) };
        let pem = read_bounded(ca, 256 * 1024)?;
        let root = Certificate::from_pem(&pem).map_err(fail(Credential::Ca))?;
        let mut tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(vec![root])))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        if let Some(identity) = identity {
            let certificate =
                Certificate::from_pem(identity.certificate.as_bytes()).map_err(fail(Credential::Certificate))?;
            let key = PrivateKey::from_pem(identity.key.as_bytes()).map_err(fail(Credential::Key))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&[certificate], key)));
        }
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .https_only(true)
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_per_write(Some(ANSWER))
            .max_idle_connections(2)
            .input_buffer_size(16 * 1024)
            .output_buffer_size(16 * 1024)
            .build()
            .new_agent();
        Ok(Client { agent, base: base.trim_end_matches('/').to_owned() })
    }

    /// POSTs JSON and reads JSON.
    ///
    /// # Errors
    /// As [`failure::Failure`].
    pub fn post<B: Serialize, A: DeserializeOwned>(&self, path: &str, body: &B) -> failure::Result<A> {
        let body = serde_json::to_vec(body).map_err(Hitch::Request)?;
        let request = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .config()
            .timeout_per_read(Some(ANSWER))
            .build();
        let answer = checked(request.send(&body[..]))?;
        let bytes = read_body(answer, MAX_ANSWER)?;
        serde_json::from_slice(&bytes).map_err(|e| Hitch::Answer(e).into())
    }

    /// GETs bytes, at most `most`.
    ///
    /// # Errors
    /// As [`failure::Failure`].
    pub fn get(&self, path: &str, most: u64) -> failure::Result<Vec<u8>> {
        let request = self.agent.get(format!("{}{path}", self.base)).config().timeout_per_read(Some(ANSWER)).build();
        read_body(checked(request.call())?, most)
    }

    /// Opens an endless answer; a silence of `idle` ends it with an error.
    ///
    /// # Errors
    /// As [`failure::Failure`].
    pub fn stream(&self, path: &str, idle: Duration) -> failure::Result<impl Read + use<>> {
        let request = self.agent.get(format!("{}{path}", self.base)).config().timeout_per_read(Some(idle)).build();
        let answer = checked(request.call())?;
        Ok(answer.into_body().into_reader())
    }
}

/// Sorts out answers that are not 200 or 201.
fn checked(result: std::result::Result<Response<Body>, ureq::Error>) -> failure::Result<Response<Body>> {
    let answer = result.map_err(|e| Hitch::Unreachable(Box::new(e)))?;
    let status = answer.status().as_u16();
    match status {
        200 | 201 => Ok(answer),
        408 | 429 | 500..=599 => Err(Hitch::Status(status).into()),
        _ => {
            let bytes = read_body(answer, 64 * 1024).unwrap_or_default();
            let problem: ProblemBody = serde_json::from_slice(&bytes).unwrap_or_default();
            let text = if problem.detail.is_empty() { problem.title } else { problem.detail };
            let clean = |s: String| s.chars().filter(|c| !c.is_control()).take(500).collect();
            Err(Refused::ByPos { status, code: clean(problem.code), text: clean(text) }.into())
        }
    }
}

fn read_body(answer: Response<Body>, most: u64) -> failure::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = answer.into_body().into_reader().take(most + 1).read_to_end(&mut bytes);
    read.map_err(Hitch::BrokeOff)?;
    if bytes.len() as u64 > most {
        return Err(Hitch::Longer(most).into());
    }
    Ok(bytes)
}
