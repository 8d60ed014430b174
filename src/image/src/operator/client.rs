//! A blocking client of the operator's interface (`docs/pos-protocol.md`).

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kiln_base::model::Digest;
use kiln_base::wire::{
    AckView, AssignAnswer, AssignRequest, ImageView, Page, ProblemBody, PublishRequest, RegisterImage, StateView,
    TABLES_MEDIA_TYPE, TablesAnswer, TokenAnswer, TokenRequest, VersionView, ViolationView,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Request, Response, Uri};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 << 20;
/// Longest PEM file, in bytes.
const MAX_PEM: u64 = 64 << 10;

/// What stops a request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The identity folder is incomplete.
    #[error("cannot read {}: {source}; `kiln-pos serve` writes an operator's identity to DATA/operator", path.display())]
    Identity {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the identity is not what it should be.
    #[error("{} is not a PEM {what}: {reason}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Not an address of a POS.
    #[error("`{0}` is not the address of a POS; expected https://HOST:PORT")]
    Url(String),
    /// No answer.
    #[error("no answer from {url}: {source}; is kiln-pos running there, and are its CA and your certificate its own?")]
    Transport {
        /// The request.
        url: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// The POS refused.
    #[error("the POS refused ({} {}): {}", .0.status, .0.code, .0.detail)]
    Refused(ProblemBody),
    /// An answer that is none of the protocol's.
    #[error("{url} answered {status} with something else than the protocol's JSON: {reason}")]
    Unexpected {
        /// The request.
        url: String,
        /// HTTP status.
        status: u16,
        /// Why.
        reason: String,
    },
}

/// An operator's certificate and key, and the CA to expect, as PEM.
#[derive(Clone)]
pub struct Credentials {
    folder: PathBuf,
    certificate: String,
    key: String,
    ca: String,
}

impl Credentials {
    /// Reads `cert.pem`, `key.pem` and `ca.pem` of a folder.
    ///
    /// # Errors
    /// [`ClientError::Identity`] naming the file.
    pub fn read(folder: &Path) -> Result<Credentials, ClientError> {
        let file = |name: &str| {
            let path = folder.join(name);
            let mut text = String::new();
            match fs::File::open(&path).and_then(|f| f.take(MAX_PEM).read_to_string(&mut text)) {
                Ok(_) => Ok(text),
                Err(source) => Err(ClientError::Identity { path, source }),
            }
        };
        Ok(Credentials {
            certificate: file("cert.pem")?,
            key: file("key.pem")?,
            ca: file("ca.pem")?,
            folder: folder.to_owned(),
        })
    }

    /// The CA's certificate, PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }
}

/// A connection to one POS.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
}

impl Client {
    /// A client for `https://HOST:PORT`; connects at the first request.
    ///
    /// # Errors
    /// [`ClientError::Url`] or [`ClientError::Pem`].
    pub fn new(url: &str, credentials: &Credentials) -> Result<Client, ClientError> {
        let base = url.trim_end_matches('/');
        let good = base.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("https")
                && uri.host().is_some_and(|h| !h.is_empty())
                && uri.path() == "/"
                && uri.query().is_none()
        });
        if !good {
            return Err(ClientError::Url(url.chars().take(200).collect()));
        }
        let pem =
            |name: &str, what, reason: String| ClientError::Pem { path: credentials.folder.join(name), what, reason };
        let certificate = Certificate::from_pem(credentials.certificate.as_bytes())
            .map_err(|e| pem("cert.pem", "certificate", e.to_string()))?;
        let key = PrivateKey::from_pem(credentials.key.as_bytes()).map_err(|e| pem("key.pem", "key", e.to_string()))?;
        let ca = Certificate::from_pem(credentials.ca.as_bytes())
            .map_err(|e| pem("ca.pem", "certificate", e.to_string()))?;
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(vec![ca])))
            .client_cert(Some(ClientCert::new_with_certs(&[certificate], key)))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy from the environment would be one more party; the POS is dialled as it is named.
            .proxy(None)
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_global(Some(Duration::from_secs(120)))
            .build();
        Ok(Client { agent: config.new_agent(), base: base.to_owned() })
    }

    /// The address, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        media: Option<&str>,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>), ClientError> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(media) = media {
            request = request.header("content-type", media);
        }
        let transport = |source: ureq::Error| ClientError::Transport { url: url.clone(), source: Box::new(source) };
        let sent = match media {
            Some(_) => {
                request.body(body).map_err(|e| transport(e.into())).and_then(|r| self.agent.run(r).map_err(transport))
            }
            None => {
                request.body(()).map_err(|e| transport(e.into())).and_then(|r| self.agent.run(r).map_err(transport))
            }
        };
        let mut response: Response<Body> = sent?;
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(transport)?;
        if (200..300).contains(&status) {
            return Ok((status, bytes));
        }
        match serde_json::from_slice::<ProblemBody>(&bytes) {
            Ok(problem) => Err(ClientError::Refused(problem)),
            Err(error) => Err(ClientError::Unexpected { url, status, reason: error.to_string() }),
        }
    }

    fn parse<T: DeserializeOwned>(&self, path: &str, (status, bytes): (u16, Vec<u8>)) -> Result<T, ClientError> {
        serde_json::from_slice(&bytes).map_err(|e| ClientError::Unexpected {
            url: format!("{}{path}", self.base),
            status,
            reason: e.to_string(),
        })
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.send(Method::GET, path, None, &[])?;
        self.parse(path, answer)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        // The wire types are structs of strings, numbers and lists; they always serialise.
        let body = serde_json::to_vec(body).unwrap_or_default();
        let answer = self.send(Method::POST, path, Some("application/json"), &body)?;
        self.parse(path, answer)
    }

    /// `PUT /v1/tables/{digest}`.
    ///
    /// # Errors
    /// See [`ClientError`]; so for all below.
    pub fn put_tables(&self, bytes: &[u8]) -> Result<TablesAnswer, ClientError> {
        let path = format!("/v1/tables/{}", Digest::of(bytes));
        let answer = self.send(Method::PUT, &path, Some(TABLES_MEDIA_TYPE), bytes)?;
        self.parse(&path, answer)
    }

    /// `POST /v1/images`.
    ///
    /// # Errors
    /// As above.
    pub fn register(&self, request: &RegisterImage) -> Result<ImageView, ClientError> {
        self.post("/v1/images", request)
    }

    /// All images.
    ///
    /// # Errors
    /// As above.
    pub fn images(&self) -> Result<Vec<ImageView>, ClientError> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page: Page<ImageView> = self.get(&format!("/v1/images?limit=1000{after}"))?;
            all.extend(page.items);
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(all),
            }
        }
    }

    /// `POST /v1/images/{image}/tokens`.
    ///
    /// # Errors
    /// As above.
    pub fn token(&self, image: Digest, ttl_seconds: u64) -> Result<TokenAnswer, ClientError> {
        self.post(&format!("/v1/images/{image}/tokens"), &TokenRequest { ttl_seconds })
    }

    /// `POST /v1/policies`.
    ///
    /// # Errors
    /// As above.
    pub fn publish(&self, request: &PublishRequest) -> Result<VersionView, ClientError> {
        self.post("/v1/policies", request)
    }

    /// All versions.
    ///
    /// # Errors
    /// As above.
    pub fn versions(&self) -> Result<Vec<VersionView>, ClientError> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page: Page<VersionView> = self.get(&format!("/v1/policies?limit=1000{after}"))?;
            all.extend(page.items);
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(all),
            }
        }
    }

    /// `POST /v1/assignments`.
    ///
    /// # Errors
    /// As above.
    pub fn assign(&self, request: &AssignRequest) -> Result<AssignAnswer, ClientError> {
        self.post("/v1/assignments", request)
    }

    /// An ACK of an instance by its number.
    ///
    /// # Errors
    /// As above.
    pub fn ack(&self, instance: &str, number: u64) -> Result<Option<AckView>, ClientError> {
        let after = number.saturating_sub(1);
        let page: Page<AckView> = self.get(&format!("/v1/acks?instance={instance}&after={after}&limit=1"))?;
        Ok(page.items.into_iter().find(|ack| ack.ack == number))
    }

    /// A page of violations: newest first below `before` (`end` for the newest), of one instance where one is named.
    ///
    /// # Errors
    /// As above.
    pub fn violations_before(
        &self,
        instance: Option<&str>,
        before: &str,
        limit: usize,
    ) -> Result<Page<ViolationView>, ClientError> {
        self.violations(instance, &format!("before={before}&limit={limit}"))
    }

    /// A page of violations: oldest first, those that came after `number`.
    ///
    /// # Errors
    /// As above.
    pub fn violations_after(&self, instance: Option<&str>, number: u64) -> Result<Page<ViolationView>, ClientError> {
        self.violations(instance, &format!("after={number}&limit=1000"))
    }

    fn violations(&self, instance: Option<&str>, page: &str) -> Result<Page<ViolationView>, ClientError> {
        let whose = instance.map(|name| format!("&instance={name}")).unwrap_or_default();
        self.get(&format!("/v1/violations?{page}{whose}"))
    }

    /// The whole state, all pages of it. The totals are those of the first page.
    ///
    /// # Errors
    /// As above.
    pub fn state(&self) -> Result<StateView, ClientError> {
        let mut state: StateView = self.get("/v1/state?limit=1000")?;
        while let Some(next) = state.next.take() {
            let page: StateView = self.get(&format!("/v1/state?limit=1000&after={next}"))?;
            state.items.extend(page.items);
            state.next = page.next;
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_addresses_without_a_path_are_taken() {
        let credentials =
            Credentials { folder: "id".into(), certificate: String::new(), key: String::new(), ca: String::new() };
        for url in ["", "http://127.0.0.1:1", "127.0.0.1:8443", "https://", "https://a/b", "https://a?x=1", "ftp://a"] {
            assert!(matches!(Client::new(url, &credentials), Err(ClientError::Url(_))), "{url}");
        }
        let error = Client::new("https://127.0.0.1:8443/", &credentials).unwrap_err().to_string();
        assert!(error.contains("cert.pem"), "{error}");
    }

    #[test]
    fn a_missing_identity_is_told_by_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = Credentials::read(dir.path()).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("cert.pem"), "{error}");
    }
}
