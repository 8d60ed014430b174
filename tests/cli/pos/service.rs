//! A running `kiln-pos`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::client::{Client, Identity};

/// A service on a free port of loopback; ends with the value.
pub struct Service {
    child: Child,
    pub address: SocketAddr,
    pub ca: String,
    pub operator: Identity,
}

impl Service {
    pub fn start(data: &Path) -> Service {
        Service::start_with(data, &[])
    }

    pub fn start_with(data: &Path, more: &[&str]) -> Service {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kiln-pos"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(more)
            .env("KILN_LOG", "warn")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on https://").and_then(|a| a.parse().ok()) else {
            let mut log = String::new();
            child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
            panic!("no address but {line:?}; {log}");
        };
        // Read to the end, so that a full pipe never stops the service.
        let log = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(log).lines().map_while(Result::ok).for_each(|l| eprintln!("pos: {l}"))
        });
        let read = |name: &str| fs::read_to_string(data.join(name)).unwrap();
        let operator = Identity { certificate: read("operator/cert.pem"), key: read("operator/key.pem") };
        Service { child, address, ca: read("pos-ca.pem"), operator }
    }

    /// Someone without a certificate.
    pub fn guest(&self) -> Client {
        Client::new(self.address, &self.ca, None)
    }

    pub fn as_operator(&self) -> Client {
        Client::new(self.address, &self.ca, Some(&self.operator))
    }

    pub fn with(&self, identity: &Identity) -> Client {
        Client::new(self.address, &self.ca, Some(identity))
    }

    /// SIGKILL: nothing of the service runs any more.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let limit = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < limit, "the service does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
