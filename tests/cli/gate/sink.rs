//! A SOC's server for the tests: it answers each connection as it is told, with TLS or without.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What the server does with a connection.
#[derive(Clone, Copy)]
pub enum Answer {
    Status(u16),
    /// A redirect to another place.
    Moved(u16),
    Hang,
}

/// The server.
pub struct Sink {
    pub port: u16,
    pub received: Receiver<String>,
    /// Why requests did not come through, a connection each.
    pub broken: Receiver<String>,
    tls: Arc<Mutex<Option<Arc<ServerConfig>>>>,
}

impl Sink {
    /// Starts it; after the last of `answers` every connection is answered with 200.
    pub fn start(answers: Vec<Answer>, tls: Option<Arc<ServerConfig>>) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let ((sender, received), (breaks, broken)) = (channel(), channel());
        let tls = Arc::new(Mutex::new(tls));
        let config = tls.clone();
        std::thread::spawn(move || serve(&listener, &answers, &config, &sender, &breaks));
        Sink { port, received, broken, tls }
    }

    /// Connections from now on meet this certificate.
    pub fn present(&self, config: Arc<ServerConfig>) {
        *self.tls.lock().expect("nobody panicked") = Some(config);
    }

    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}/in", self.port)
    }

    /// Names of the processes that the server has been told of since it was last asked.
    pub fn names(&self) -> BTreeSet<String> {
        names(self.received.try_iter())
    }
}

fn serve(
    listener: &TcpListener,
    answers: &[Answer],
    tls: &Mutex<Option<Arc<ServerConfig>>>,
    sender: &Sender<String>,
    breaks: &Sender<String>,
) {
    let mut held = Vec::new();
    for (place, stream) in listener.incoming().enumerate() {
        let Ok(mut stream) = stream else { continue };
        let answer = answers.get(place).copied().unwrap_or(Answer::Status(200));
        let mut stream: Box<dyn Stream> = match tls.lock().expect("nobody panicked").clone() {
            None => Box::new(stream),
            Some(config) => {
                let mut connection = ServerConnection::new(config).expect("the configuration is complete");
                if let Err(error) = connection.complete_io(&mut stream) {
                    drop(breaks.send(format!("handshake: {error}")));
                    continue;
                }
                Box::new(StreamOwned::new(connection, stream))
            }
        };
        let body = match read_request(&mut *stream) {
            Ok(body) => body,
            Err(error) => {
                drop(breaks.send(error));
                continue;
            }
        };
        let (code, more) = match answer {
            Answer::Status(code) => (code, String::new()),
            Answer::Moved(port) => (307, format!("location: http://127.0.0.1:{port}/in\r\n")),
            Answer::Hang => {
                held.push(stream);
                continue;
            }
        };
        let reply = format!("HTTP/1.1 {code} X\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n");
        drop(stream.write_all(reply.as_bytes()).and_then(|()| stream.flush()));
        if code == 200 && sender.send(body).is_err() {
            return;
        }
    }
}

trait Stream: Read + Write {}
impl Stream for TcpStream {}
impl Stream for StreamOwned<ServerConnection, TcpStream> {}

fn read_request(stream: &mut dyn Stream) -> Result<String, String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0usize) {
                assert!(head.to_lowercase().contains("authorization: bearer secret"), "{head}");
                return Ok(body.to_owned());
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err(format!("ended after {} bytes", bytes.len())),
            Err(error) => return Err(error.to_string()),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn names(bodies: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for body in bodies {
        let value: serde_json::Value = serde_json::from_str(&body).expect("the sink is sent JSON");
        let single = vec![value.clone()];
        for entry in value["events"].as_array().unwrap_or(&single) {
            names.insert(entry["action"]["process_name"].as_str().expect("an action").to_owned());
        }
    }
    names
}
