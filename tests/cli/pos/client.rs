//! HTTP/1.1 over rustls, by hand: the tests decide about every byte.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A client certificate and its key, PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

pub type Tls = BufReader<StreamOwned<ClientConnection, TcpStream>>;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json<T: DeserializeOwned>(&self) -> T {
        assert!((200..300).contains(&self.status), "{} {}", self.status, String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The status and code of a refusal, whose form is checked.
    pub fn refusal(&self) -> (u16, String) {
        assert!(self.status >= 400, "{} {}", self.status, String::from_utf8_lossy(&self.body));
        assert!(self.head.contains("application/problem+json"), "{}", self.head);
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["status"], self.status);
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["type"], format!("urn:kiln:pos:{code}"));
        assert!(!body["detail"].as_str().unwrap().is_empty() && !body["title"].as_str().unwrap().is_empty());
        (self.status, code)
    }
}

impl Client {
    pub fn new(address: SocketAddr, ca: &str, identity: Option<&Identity>) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Client { address, config: Arc::new(config) }
    }

    pub fn connect(&self) -> io::Result<Tls> {
        let tcp = TcpStream::connect(self.address)?;
        tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let tls = ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        Ok(BufReader::new(StreamOwned::new(tls, tcp)))
    }

    /// One request on its own connection.
    pub fn try_send(&self, method: &str, path: &str, media: &str, body: &[u8]) -> io::Result<Answer> {
        let mut tls = self.connect()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: pos\r\nConnection: close\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // The service may answer before it has read all; then the write fails and the answer is there all the same.
        let written = tls.get_mut().write_all(head.as_bytes()).and_then(|()| tls.get_mut().write_all(body));
        match read_answer(&mut tls) {
            Ok(answer) => Ok(answer),
            Err(error) => Err(written.err().unwrap_or(error)),
        }
    }

    pub fn send(&self, method: &str, path: &str, media: &str, body: &[u8]) -> Answer {
        self.try_send(method, path, media, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "application/json", b"")
    }

    pub fn post(&self, path: &str, body: &impl Serialize) -> Answer {
        self.send("POST", path, "application/json", &serde_json::to_vec(body).unwrap())
    }

    /// Opens a stream and reads up to its first line.
    pub fn stream(&self, boot: &str, after: u64) -> Lines {
        let mut tls = self.connect().unwrap();
        let head = format!("GET /v1/agent/stream?boot_id={boot}&after={after} HTTP/1.1\r\nHost: pos\r\n\r\n");
        tls.get_mut().write_all(head.as_bytes()).unwrap();
        let head = read_head(&mut tls).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/x-ndjson"), "{head}");
        Lines { tls, rest: Vec::new() }
    }
}

/// The lines of a stream.
pub struct Lines {
    tls: Tls,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line; none at the end of the stream.
    pub fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(at) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=at).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            match read_chunk(&mut self.tls).unwrap() {
                Some(chunk) => self.rest.extend(chunk),
                None => {
                    assert!(self.rest.is_empty(), "half a line");
                    return None;
                }
            }
        }
    }

    /// The next line that is not a heartbeat.
    pub fn message(&mut self) -> Option<Value> {
        std::iter::from_fn(|| self.next()).find(|m| m["type"] != "heartbeat")
    }
}

fn line(tls: &mut Tls) -> io::Result<String> {
    let mut line = String::new();
    match tls.read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

fn read_head(tls: &mut Tls) -> io::Result<String> {
    let mut head = String::new();
    loop {
        let line = line(tls)?;
        if line == "\r\n" {
            return Ok(head);
        }
        head.push_str(&line.to_ascii_lowercase().replacen("http/1.1", "HTTP/1.1", 1));
    }
}

fn read_chunk(tls: &mut Tls) -> io::Result<Option<Vec<u8>>> {
    let size = usize::from_str_radix(line(tls)?.trim(), 16).map_err(io::Error::other)?;
    let mut chunk = vec![0; size + 2];
    tls.read_exact(&mut chunk)?;
    chunk.truncate(size);
    Ok((size > 0).then_some(chunk))
}

pub fn read_answer(tls: &mut Tls) -> io::Result<Answer> {
    let head = read_head(tls)?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).and_then(|n| n.parse().ok());
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body = vec![0; length];
            tls.read_exact(&mut body)?;
        }
        None => {
            while let Some(chunk) = read_chunk(tls)? {
                body.extend(chunk);
            }
        }
    }
    Ok(Answer { status, head, body })
}
