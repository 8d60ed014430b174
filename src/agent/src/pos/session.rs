//! Enrolment, and the stream of assignments.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kiln_base::abi::tables::MAX_FILE;
use kiln_base::event::Evidence;
use kiln_base::wire::{
    AckOutcome, AckRequest, AssignmentLine, CloseReason, EnrolAnswer, EnrolRequest, Facts, JoinCredential, MAX_LINE,
    RenewAnswer, RenewRequest, StreamMessage,
};

use crate::config::{Config, Places};
use crate::error::{AgentError, Refusal, Result, Step};
use crate::machine::lines::notice;
use crate::pos::backoff::Backoff;
use crate::pos::client::Client;
use crate::pos::failure::{self, Failure, Hitch, Refused};
use crate::pos::identity::{self, Identity};
use crate::pos::link::{Ask, Inbox, Outbox, pair};
use crate::pos::report;
use crate::pos::spool::{Queue, Shared};
use crate::update::store::{Store, Verified};
use crate::update::trusted::Trusted;

/// Longest silence before the first line tells the heartbeat.
const FIRST_SILENCE: Duration = Duration::from_secs(60);
/// A stream that lived this long clears the count of tries.
const LIFE: Duration = Duration::from_secs(60);

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
        .map_err(|e| AgentError::kernel(Step::Thread, e))?;
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
                Err(Failure::Retry(hitch)) => {
                    notice(&format_args!("not enrolled yet: {hitch}"));
                    backoff.sleep(Duration::ZERO);
                }
                Err(failure) => {
                    notice(&format!(
                        "this machine cannot be enrolled: {failure}; give it a new join token and restart kiln-agent.service"
                    ));
                    return;
                }
            }
        };
        let client = match Client::new(&identity.pos, &self.places.pos_ca(), Some(&identity)) {
            Ok(client) => client,
            Err(e) => return notice(&e),
        };
        let (sender, spool) = (client.clone(), self.spool.clone());
        let report = std::thread::Builder::new().name("report".into()).stack_size(512 * 1024);
        if let Err(e) = report.spawn(move || report::run(&sender, &spool)) {
            notice(&format!("violations are not sent: {e}"));
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
                Ok(End::Revoked) => return notice(&"this instance is revoked; its policy stays in force"),
                Err(failure) => {
                    notice(&failure);
                    backoff.sleep(Duration::ZERO);
                }
            }
            self.renew(&client, &identity);
        }
    }

    /// The identity on disk, or a new one by the join token.
    fn identity(&self) -> failure::Result<Identity> {
        if let Some(identity) = Identity::read(&self.store)? {
            return Ok(identity);
        }
        let join = self.join.as_ref().ok_or(Refused::NoCredential)?;
        // The image's word counts before the credential's.
        let pos = self.config.pos.as_ref().or(join.pos.as_ref());
        let pos = pos.ok_or(Refused::NoPos)?;
        let key = identity::own_key(&self.store)?;
        let csr = identity::request(&key)?;
        let client = Client::new(pos, &self.places.pos_ca(), None)?;
        let body = EnrolRequest { token: join.token.clone(), csr, facts: self.facts() };
        let answer: EnrolAnswer = client.post("/v1/enrol", &body)?;
        let identity = Identity {
            instance: answer.instance,
            pos: pos.clone(),
            key: key.serialize_pem(),
            certificate: answer.certificate,
        };
        identity.write(&self.store)?;
        notice(&format!("enrolled as {}", identity.instance));
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
    fn stream(&self, client: &Client, identity: &Identity, acknowledged: &mut bool) -> failure::Result<End> {
        let after = self.store.marks()?.sequence;
        let path = format!("/v1/agent/stream?boot_id={}&after={after}", self.boot);
        let opened = client.stream(&path, FIRST_SILENCE);
        let reader = match opened {
            Ok(reader) => reader,
            Err(Failure::Final(Refused::ByPos { status: 403, .. })) => return Ok(End::Revoked),
            Err(failure) => return Err(Hitch::NoStream(Box::new(failure)).into()),
        };
        let mut reader = BufReader::new(reader);
        loop {
            let line = read_line(&mut reader).map_err(Hitch::StreamEnded)?;
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
                Err(e) => return Err(Hitch::Line(e).into()),
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
                notice(&format!("what is in force could not be proven: {e}"));
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
                Err(Failure::Final(refused)) => {
                    notice(&format_args!("an acknowledgement is not taken: {refused}"));
                    return false;
                }
                Err(Failure::Retry(hitch)) if Instant::now() >= until => {
                    notice(&format_args!("an acknowledgement could not be sent: {hitch}"));
                    return false;
                }
                Err(Failure::Retry(_)) => backoff.sleep(Duration::ZERO),
            }
        }
    }

    fn confirm(&self, serial: u64) {
        if let Err(e) = self.outbox.ask(Ask::Confirm(serial)) {
            notice(&format!("serial {serial} is in force, but not kept: {e}"));
        }
    }

    /// Carries out an assignment; returns whether the POS was told how it went.
    fn assigned(&self, client: &Client, identity: &Identity, assigned: &AssignmentLine) -> failure::Result<bool> {
        let (sequence, serial) = (assigned.sequence, assigned.serial);
        let refuse = |reason: String| {
            notice(&format!("assignment {sequence} (serial {serial}) is refused: {reason}"));
            let reason = reason.chars().take(250).collect(); // at most 1,000 bytes
            self.send(client, &refused(sequence, serial, reason))
        };
        let policy = match self.fetch(client, identity, assigned) {
            Ok(policy) => policy,
            Err(hitch @ Failure::Retry(_)) => return Err(hitch), // the stream begins again, and with it this assignment
            Err(Failure::Final(refused)) => return Ok(refuse(refused.reason())),
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
    fn fetch(&self, client: &Client, identity: &Identity, assigned: &AssignmentLine) -> failure::Result<Verified> {
        let bad = |e: AgentError| Refused::Policy(Box::new(e));
        let trusted = Trusted::read(&self.places).map_err(bad)?;
        // The signatures first: nothing is fetched for an assignment that nobody signed.
        let statement =
            kiln_base::bundle::PolicyStatement::verify(&assigned.statement, &trusted).map_err(|e| bad(e.into()))?;
        let order = kiln_base::bundle::Assignment::verify(&assigned.assignment, &trusted).map_err(|e| bad(e.into()))?;
        order.agrees(&statement, &identity.instance).map_err(|e| bad(e.into()))?;
        if (order.sequence, order.serial, order.tables) != (assigned.sequence, assigned.serial, assigned.tables) {
            return Err(bad(Refusal::Beside.into()).into());
        }
        let file = client.get(&format!("/v1/agent/tables/{}", order.tables), MAX_FILE as u64)?;
        let envelope = assigned.statement.to_json().into_bytes();
        let verified = Verified::check("the assigned tables", file, envelope, &trusted)
            .and_then(|v| v.assigned(&assigned.assignment, &identity.instance, &trusted));
        Ok(verified.map_err(bad)?)
    }

    /// Renews the certificate when a third of its time is left; used from the next start on.
    fn renew(&self, client: &Client, identity: &Identity) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        let current = Identity::read(&self.store).ok().flatten().unwrap_or_else(|| identity.clone());
        if !identity::expiry(&current.certificate).is_ok_and(|v| identity::should_renew(v, now)) {
            return;
        }
        match self.renewed(client, identity) {
            Ok(()) => notice(&"the certificate is renewed"),
            Err(e) => notice(&format_args!("the certificate could not be renewed: {e}")),
        }
    }

    fn renewed(&self, client: &Client, identity: &Identity) -> failure::Result<()> {
        let csr = identity::request(&identity::own_key(&self.store)?)?;
        let RenewAnswer { certificate } = client.post("/v1/agent/renew", &RenewRequest { csr })?;
        Ok(Identity { certificate, ..identity.clone() }.write(&self.store)?)
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
    fn lines_are_bounded() {
        assert_eq!(read_line(&mut &b"a\nb"[..]).unwrap(), b"a\n");
        assert!(read_line(&mut &b"b"[..]).is_err());
        assert!(read_line(&mut &b""[..]).is_err());
        let long = vec![b'x'; MAX_LINE + 10];
        assert!(read_line(&mut &long[..]).is_err());
    }
}
