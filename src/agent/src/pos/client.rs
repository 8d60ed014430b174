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

use super::identity::Identity;
use crate::error::{AgentError, Result};
use crate::files::read_bounded;

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);
/// Longest answer that is read into memory, tables aside.
const MAX_ANSWER: u64 = 1 << 20;

/// Why a request did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// Worth another try: no connection, an overloaded or restarting POS.
    Retry(String),
    /// Refused for good; `code` is the POS's.
    Final {
        /// HTTP status.
        status: u16,
        /// The problem's code.
        code: String,
        /// Its words.
        text: String,
    },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Retry(text) => f.write_str(text),
            Failure::Final { status, code, text } => write!(f, "the POS refuses ({status} {code}): {text}"),
        }
    }
}

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
        let fail = |what: &str, e: &dyn std::fmt::Display| AgentError::Pos(format!("{what} is not understood: {e}"));
        let pem = read_bounded(ca, 256 * 1024)?;
        let root = Certificate::from_pem(&pem).map_err(|e| fail("the POS's CA (pos-ca.pem)", &e))?;
        let mut tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(vec![root])))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        if let Some(identity) = identity {
            let certificate = Certificate::from_pem(identity.certificate.as_bytes())
                .map_err(|e| fail("this instance's certificate", &e))?;
            let key = PrivateKey::from_pem(identity.key.as_bytes()).map_err(|e| fail("this instance's key", &e))?;
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
    /// As [`Failure`].
    pub fn post<B: Serialize, A: DeserializeOwned>(&self, path: &str, body: &B) -> std::result::Result<A, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| Failure::Retry(e.to_string()))?;
        let request = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .config()
            .timeout_per_read(Some(ANSWER))
            .build();
        let answer = checked(request.send(&body[..]))?;
        let bytes = read_body(answer, MAX_ANSWER)?;
        serde_json::from_slice(&bytes).map_err(|e| Failure::Retry(format!("the POS's answer is not understood: {e}")))
    }

    /// GETs bytes, at most `most`.
    ///
    /// # Errors
    /// As [`Failure`].
    pub fn get(&self, path: &str, most: u64) -> std::result::Result<Vec<u8>, Failure> {
        let request = self.agent.get(format!("{}{path}", self.base)).config().timeout_per_read(Some(ANSWER)).build();
        read_body(checked(request.call())?, most)
    }

    /// Opens an endless answer; a silence of `idle` ends it with an error.
    ///
    /// # Errors
    /// As [`Failure`].
    pub fn stream(&self, path: &str, idle: Duration) -> std::result::Result<impl Read + use<>, Failure> {
        let request = self.agent.get(format!("{}{path}", self.base)).config().timeout_per_read(Some(idle)).build();
        let answer = checked(request.call())?;
        Ok(answer.into_body().into_reader())
    }
}

/// Sorts out answers that are not 200 or 201.
fn checked(result: std::result::Result<Response<Body>, ureq::Error>) -> std::result::Result<Response<Body>, Failure> {
    let answer = result.map_err(|e| Failure::Retry(format!("the POS cannot be reached: {e}")))?;
    let status = answer.status().as_u16();
    match status {
        200 | 201 => Ok(answer),
        408 | 429 | 500..=599 => Err(Failure::Retry(format!("the POS answers {status}"))),
        _ => {
            let bytes = read_body(answer, 64 * 1024).unwrap_or_default();
            let problem: ProblemBody = serde_json::from_slice(&bytes).unwrap_or_default();
            let text = if problem.detail.is_empty() { problem.title } else { problem.detail };
            let clean = |s: String| s.chars().filter(|c| !c.is_control()).take(500).collect();
            Err(Failure::Final { status, code: clean(problem.code), text: clean(text) })
        }
    }
}

fn read_body(answer: Response<Body>, most: u64) -> std::result::Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = answer.into_body().into_reader().take(most + 1).read_to_end(&mut bytes);
    read.map_err(|e| Failure::Retry(format!("the POS's answer broke off: {e}")))?;
    if bytes.len() as u64 > most {
        return Err(Failure::Retry(format!("the POS's answer is longer than {most} bytes")));
    }
    Ok(bytes)
}
