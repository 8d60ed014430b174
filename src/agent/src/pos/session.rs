//! Enrolment, and the stream of assignments.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kiln_base::abi::tables::MAX_FILE;
use kiln_base::bundle::TrustedKeys;
use kiln_base::event::Evidence;
use kiln_base::wire::{
    AckOutcome, AckRequest, AssignmentLine, CloseReason, EnrolAnswer, EnrolRequest, Facts, JoinCredential, MAX_LINE,
    RenewAnswer, RenewRequest, StreamMessage,
};

use super::client::{Client, Failure};
use super::identity::{self, Identity};
use super::link::{Ask, Inbox, Outbox, pair};
use super::report;
use super::spool::{Queue, Shared};
use crate::config::{Config, Places};
use crate::error::{AgentError, Result};
use crate::sink;
use crate::store::{Store, Verified};

/// Longest silence before the first line tells the heartbeat.
const FIRST_SILENCE: Duration = Duration::from_secs(60);
/// A stream that lived this long clears the count of tries.
const LIFE: Duration = Duration::from_secs(60);

/// Tells the journal.
pub fn log(notice: &str) {
    sink::print_line(&serde_json::json!({"schema": "kiln.notice.v1", "notice": notice}));
}

/// Full jitter: a random time in 0…min(60 s, 1 s · 2^n).
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let most = 1_000u64.saturating_mul(1 << self.tries.min(6)).min(60_000);
        self.tries = self.tries.saturating_add(1);
        let mut random = [0; 8];
        // Without random bytes the longest time is waited.
        let random = match rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()) {
            Ok(8) => u64::from_ne_bytes(random),
            _ => most,
        };
        Duration::from_millis(random % (most + 1))
    }

    /// Waits, at least `least`.
    pub fn sleep(&mut self, least: Duration) {
        std::thread::sleep(self.next().max(least));
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// Starts the POS's threads where this machine has a POS: it is enrolled, or was given a join credential in the folder
/// `credentials` (systemd's CREDENTIALS_DIRECTORY).
///
/// # Errors
/// If the credential, the configuration or the spool is not usable.
pub fn start(places: &Places, config: &Config, credentials: Option<&Path>) -> Result<Option<(Inbox, Shared)>> {
    let store = Store::new(&places.state);
    let join = identity::join(credentials)?;
    let enrolled = Identity::read(&store)?;
    if enrolled.is_none() && join.is_none() {
        return Ok(None);
    }
    let boot = places.boot_id()?;
    let spool = Shared::new(Queue::open(&places.state.join("spool"), &boot, config.spool_bytes)?);
    let (outbox, inbox) = pair()?;
    let session =
        Session { places: places.clone(), config: config.clone(), store, boot, join, outbox, spool: spool.clone() };
    std::thread::Builder::new()
        .name("pos".into())
        .stack_size(512 * 1024)
        .spawn(move || session.run())
        .map_err(|e| AgentError::kernel("cannot start a thread", e))?;
    Ok(Some((inbox, spool)))
}

struct Session {
    places: Places,
    config: Config,
    store: Store,
    boot: String,
    join: Option<JoinCredential>,
    outbox: Outbox,
    spool: Shared,
}

fn enforced(sequence: u64, evidence: Evidence) -> AckRequest {
    let serial = evidence.serial;
    AckRequest { outcome: AckOutcome::Enforced, sequence, serial, evidence: Some(evidence), reason: None }
}

fn refused(sequence: u64, serial: u64, reason: String) -> AckRequest {
    AckRequest { outcome: AckOutcome::Refused, sequence, serial, evidence: None, reason: Some(reason) }
}

/// How a stream ended.
enum End {
    /// Try again, no sooner than this.
    Again(Duration),
    /// The instance is revoked.
    Revoked,
}

impl Session {
    fn run(self) {
        let mut backoff = Backoff::default();
        let identity = loop {
            match self.identity() {
                Ok(identity) => break identity,
                Err(Failure::Retry(text)) => {
                    log(&format!("not enrolled yet: {text}"));
                    backoff.sleep(Duration::ZERO);
                }
                Err(failure) => {
                    log(&format!(
                        "this machine cannot be enrolled: {failure}; give it a new join token and restart kiln-agent.service"
                    ));
                    return;
                }
            }
        };
        let client = match Client::new(&identity.pos, &self.places.pos_ca(), Some(&identity)) {
            Ok(client) => client,
            Err(e) => return log(&e.to_string()),
        };
        let (sender, spool) = (client.clone(), self.spool.clone());
        let report = std::thread::Builder::new().name("report".into()).stack_size(512 * 1024);
        if let Err(e) = report.spawn(move || report::run(&sender, &spool)) {
            log(&format!("violations are not sent: {e}"));
        }
        backoff.reset();
        let mut acknowledged = false;
        loop {
            let begun = Instant::now();
            let end = self.stream(&client, &identity, &mut acknowledged);
            if begun.elapsed() >= LIFE {
                backoff.reset();
            }
            match end {
                Ok(End::Again(least)) => backoff.sleep(least),
                Ok(End::Revoked) => return log("this instance is revoked; its policy stays in force"),
                Err(text) => {
                    log(&text);
                    backoff.sleep(Duration::ZERO);
                }
            }
            self.renew(&client, &identity);
        }
    }

    /// The identity on disk, or a new one by the join token.
    fn identity(&self) -> std::result::Result<Identity, Failure> {
        let retry = |e: AgentError| Failure::Retry(e.to_string());
        if let Some(identity) = Identity::read(&self.store).map_err(retry)? {
            return Ok(identity);
        }
        let stuck = |text: &str| Failure::Final { status: 0, code: "no-join".into(), text: text.into() };
        let join = self.join.as_ref().ok_or_else(|| stuck("it has no join credential"))?;
        // The image's word counts before the credential's.
        let pos = self.config.pos.as_ref().or(join.pos.as_ref());
        let pos = pos.ok_or_else(|| stuck("neither the image nor the credential names a POS"))?;
        let key = identity::own_key(&self.store).map_err(retry)?;
        let csr = identity::request(&key).map_err(retry)?;
        let client = Client::new(pos, &self.places.pos_ca(), None).map_err(retry)?;
        let body = EnrolRequest { token: join.token.clone(), csr, facts: self.facts() };
        let answer: EnrolAnswer = client.post("/v1/enrol", &body)?;
        let identity = Identity {
            instance: answer.instance,
            pos: pos.clone(),
            key: key.serialize_pem(),
            certificate: answer.certificate,
        };
        identity.write(&self.store).map_err(retry)?;
        log(&format!("enrolled as {}", identity.instance));
        Ok(identity)
    }

    fn facts(&self) -> Facts {
        let name = rustix::system::uname();
        let text = |path: &str| std::fs::read_to_string(path).ok().map(|t| t.trim().chars().take(128).collect());
        Facts {
            boot_id: self.boot.clone(),
            kernel: name.release().to_string_lossy().into_owned(),
            hostname: Some(name.nodename().to_string_lossy().chars().take(128).collect()),
            machine_id: text("/etc/machine-id"),
            agent: Some(env!("CARGO_PKG_VERSION").to_owned()),
            serial: None,
            tables: None,
        }
    }

    /// One life of the stream.
    fn stream(
        &self,
        client: &Client,
        identity: &Identity,
        acknowledged: &mut bool,
    ) -> std::result::Result<End, String> {
        let after = self.store.marks().map(|m| m.sequence).map_err(|e| e.to_string())?;
        let path = format!("/v1/agent/stream?boot_id={}&after={after}", self.boot);
        let opened = client.stream(&path, FIRST_SILENCE);
        let reader = match opened {
            Ok(reader) => reader,
            Err(Failure::Final { status: 403, .. }) => return Ok(End::Revoked),
            Err(failure) => return Err(format!("no stream from the POS: {failure}")),
        };
        let mut reader = BufReader::new(reader);
        loop {
            let line = read_line(&mut reader).map_err(|e| format!("the stream from the POS ended: {e}"))?;
            match serde_json::from_slice(&line) {
                Ok(StreamMessage::Hello { heartbeat_seconds, .. }) => {
                    // The read timeout covers three heartbeats of the protocol's 15 s; a slower POS just reconnects.
                    let _ = heartbeat_seconds;
                    if !*acknowledged {
                        *acknowledged = self.acknowledge(client);
                    }
                }
                Ok(StreamMessage::Assignment(assigned)) => {
                    // What could not be told is told again, as it is then, when the POS is back.
                    *acknowledged &= self.assigned(client, identity, &assigned)?;
                }
                Ok(StreamMessage::Heartbeat { .. } | StreamMessage::Unknown) => {}
                Ok(StreamMessage::Close { reason, .. }) if reason == CloseReason::Revoked => return Ok(End::Revoked),
                Ok(StreamMessage::Close { retry_after_ms, .. }) => {
                    return Ok(End::Again(Duration::from_millis(retry_after_ms.min(300_000))));
                }
                Err(e) => return Err(format!("a line from the POS is not understood: {e}")),
            }
        }
    }

    /// Tells what is in force, once a start.
    fn acknowledge(&self, client: &Client) -> bool {
        match self.outbox.ask(Ask::Prove) {
            Ok(Some((evidence, sequence))) => {
                let serial = evidence.serial;
                let told = self.send(client, &enforced(sequence, evidence));
                if told {
                    // An update whose confirmation a restart of the agent interrupted.
                    self.confirm(serial);
                }
                told
            }
            Ok(None) => false,
            Err(e) => {
                log(&format!("what is in force could not be proven: {e}"));
                false
            }
        }
    }

    /// Sends an acknowledgement until the POS takes or refuses it, for about as long as an update waits.
    fn send(&self, client: &Client, ack: &AckRequest) -> bool {
        let mut backoff = Backoff::default();
        let until = Instant::now() + Duration::from_secs(self.config.confirm_seconds);
        loop {
            match client.post::<_, serde_json::Value>("/v1/agent/acks", ack) {
                Ok(_) => return true,
                Err(failure @ Failure::Final { .. }) => {
                    log(&format!("an acknowledgement is not taken: {failure}"));
                    return false;
                }
                Err(Failure::Retry(text)) if Instant::now() >= until => {
                    log(&format!("an acknowledgement could not be sent: {text}"));
                    return false;
                }
                Err(Failure::Retry(_)) => backoff.sleep(Duration::ZERO),
            }
        }
    }

    fn confirm(&self, serial: u64) {
        if let Err(e) = self.outbox.ask(Ask::Confirm(serial)) {
            log(&format!("serial {serial} is in force, but not kept: {e}"));
        }
    }

    /// Carries out an assignment; returns whether the POS was told how it went.
    fn assigned(
        &self,
        client: &Client,
        identity: &Identity,
        assigned: &AssignmentLine,
    ) -> std::result::Result<bool, String> {
        let (sequence, serial) = (assigned.sequence, assigned.serial);
        let refuse = |reason: String| {
            log(&format!("assignment {sequence} (serial {serial}) is refused: {reason}"));
            let reason = reason.chars().take(250).collect(); // at most 1,000 bytes
            self.send(client, &refused(sequence, serial, reason))
        };
        let policy = match self.fetch(client, identity, assigned) {
            Ok(policy) => policy,
            Err(Failure::Retry(text)) => return Err(text), // the stream begins again, and with it this assignment
            Err(Failure::Final { text, .. }) => return Ok(refuse(text)),
        };
        Ok(match self.outbox.ask(Ask::Apply(Box::new(policy))) {
            Ok(Some((evidence, _))) => {
                // Taken by the POS: the machine is reachable under the new policy, which is the health that counts.
                let told = self.send(client, &enforced(sequence, evidence));
                if told {
                    self.confirm(serial);
                }
                told
            }
            Ok(None) => true,
            Err(reason) => refuse(reason),
        })
    }

    /// Verifies the assignment, fetches the tables and verifies them.
    fn fetch(
        &self,
        client: &Client,
        identity: &Identity,
        assigned: &AssignmentLine,
    ) -> std::result::Result<Verified, Failure> {
        let bad = |e: AgentError| Failure::Final { status: 0, code: "refused".into(), text: e.to_string() };
        let trusted = TrustedKeys::read(&self.places.trust()).map_err(|e| bad(e.into()))?;
        // The signatures first: nothing is fetched for an assignment that nobody signed.
        let statement =
            kiln_base::bundle::PolicyStatement::verify(&assigned.statement, &trusted).map_err(|e| bad(e.into()))?;
        let order = kiln_base::bundle::Assignment::verify(&assigned.assignment, &trusted).map_err(|e| bad(e.into()))?;
        order.agrees(&statement, &identity.instance).map_err(|e| bad(e.into()))?;
        if (order.sequence, order.serial, order.tables) != (assigned.sequence, assigned.serial, assigned.tables) {
            let text = "the fields beside the signed assignment differ from it";
            return Err(bad(AgentError::Refused(text.into())));
        }
        let file = client.get(&format!("/v1/agent/tables/{}", order.tables), MAX_FILE as u64)?;
        let envelope = assigned.statement.to_json().into_bytes();
        Verified::check("the assigned tables", file, envelope, &trusted)
            .and_then(|v| v.assigned(&assigned.assignment, &identity.instance, &trusted))
            .map_err(bad)
    }

    /// Renews the certificate when a third of its time is left; used from the next start on.
    fn renew(&self, client: &Client, identity: &Identity) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        let current = Identity::read(&self.store).ok().flatten().unwrap_or_else(|| identity.clone());
        if !identity::expiry(&current.certificate).is_ok_and(|v| identity::should_renew(v, now)) {
            return;
        }
        let renewed = identity::own_key(&self.store).and_then(|key| identity::request(&key)).map_err(|e| e.to_string());
        let renewed = renewed.and_then(|csr| {
            client.post::<_, RenewAnswer>("/v1/agent/renew", &RenewRequest { csr }).map_err(|e| e.to_string())
        });
        let kept = renewed.and_then(|r| {
            Identity { certificate: r.certificate, ..identity.clone() }.write(&self.store).map_err(|e| e.to_string())
        });
        log(&match kept {
            Ok(()) => "the certificate is renewed".to_owned(),
            Err(e) => format!("the certificate could not be renewed: {e}"),
        });
    }
}

fn read_line(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let read = reader.take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    if !line.ends_with(b"\n") {
        return Err(std::io::Error::other("a line is cut off or too long"));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_bounded_and_grows() {
        let mut backoff = Backoff::default();
        for n in 0..50u32 {
            let most = 1_000 * (1 << n.min(6));
            assert!(backoff.next() <= Duration::from_millis(most.min(60_000)));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }

    #[test]
    fn lines_are_bounded() {
        assert_eq!(read_line(&mut &b"a\nb"[..]).unwrap(), b"a\n");
        assert!(read_line(&mut &b"b"[..]).is_err());
        assert!(read_line(&mut &b""[..]).is_err());
        let long = vec![b'x'; MAX_LINE + 10];
        assert!(read_line(&mut &long[..]).is_err());
    }
}
