//! How the commands reach a running agent: one JSON line each way over a socket that only root may use. Behind the line
//! come the files of an update, which the caller has read: the agent reads none in anybody's name.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kiln_base::abi::tables::MAX_FILE;
use kiln_base::bundle::MAX_ENVELOPE;
use kiln_base::event::Evidence;
use serde::{Deserialize, Serialize};

use crate::error::{AgentError, FileFault, Result};
use crate::machine::caller::Caller;
use crate::machine::files::read_bounded;
use crate::update::audit::Audit;

const MAX_LINE: u64 = 64 * 1024;
/// A caller that does not send its line in this time is not waited for: events would pile up.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// Nor one whose files do not come in this time.
const FILES_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// A file that the caller has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// What the caller calls it.
    pub name: String,
    /// Its length.
    len: u64,
    /// Its bytes, which come behind the line.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl Blob {
    /// Reads a file with the rights of this process.
    ///
    /// # Errors
    /// If it cannot be read or is longer than `most`.
    pub fn read(path: &Path, most: usize) -> Result<Blob> {
        let bytes = read_bounded(path, most as u64)?;
        Ok(Blob { name: path.display().to_string(), len: bytes.len() as u64, bytes })
    }
}

/// What a command asks of the running agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Take an update from files.
    Update {
        /// The tables file.
        tables: Blob,
        /// Its DSSE envelope.
        signature: Blob,
        /// The POS's assignment.
        assignment: Option<Blob>,
        /// Seconds.
        confirm_within: Option<u64>,
    },
    /// Keep the one that waits.
    Confirm,
    /// Go back.
    Revert,
    /// Prove again.
    Affirm,
    /// Let somebody out of quarantine.
    Release {
        /// The unit's name or the process's number.
        who: String,
    },
    /// Put a unit into audit mode.
    Audit {
        /// The unit's name.
        unit: String,
        /// For how long; none: end it.
        seconds: Option<u64>,
    },
}

impl Request {
    /// The files that come behind the line, each with the most that it may have.
    fn files(&mut self) -> Vec<(&mut Blob, usize)> {
        match self {
            Request::Update { tables, signature, assignment, .. } => {
                let assignment = assignment.as_mut().map(|blob| (blob, MAX_ENVELOPE));
                [(tables, MAX_FILE), (signature, MAX_ENVELOPE)].into_iter().chain(assignment).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done; with proof of what is in force.
    Done(Option<Evidence>),
    /// A unit is in audit mode, or was.
    Audited(Audit),
    /// Not done.
    Failed {
        /// Exit code for the command.
        code: u8,
        /// Why.
        error: String,
    },
}

fn path(run: &Path) -> PathBuf {
    run.join("agent.sock")
}

/// Listens. The caller holds the agent's lock, so a socket that is there is a dead one's.
///
/// # Errors
/// If it cannot be made.
pub fn listen(run: &Path) -> Result<UnixListener> {
    let path = path(run);
    let fail = |source| AgentError::Read { path: path.clone(), source };
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(fail)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

/// Takes one request; `None` if the caller is not root or does not speak.
pub fn accept(listener: &UnixListener) -> Option<(UnixStream, Request, Caller)> {
    let (stream, _) = listener.accept().ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    if !peer.uid.is_root() {
        return None;
    }
    let caller = Caller::of(peer.pid.as_raw_nonzero().get().cast_unsigned(), peer.uid.as_raw());
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(READ_TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(READ_TIMEOUT)).ok()?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.by_ref().take(MAX_LINE).read_line(&mut line).ok()?;
    let understood = serde_json::from_str(&line).map_err(|e| e.to_string());
    match understood.and_then(|request| fill(request, &mut reader)) {
        Ok(request) => Some((stream, request, caller)),
        Err(e) => {
            answer(stream, &Answer::Failed { code: 2, error: format!("the request is not understood: {e}") });
            None
        }
    }
}

/// Takes the files behind the line.
fn fill(mut request: Request, from: &mut impl Read) -> std::result::Result<Request, String> {
    let deadline = Instant::now() + FILES_TIMEOUT;
    for (blob, most) in request.files() {
        let len = usize::try_from(blob.len).ok().filter(|len| *len <= most);
        let mut left = len.ok_or_else(|| format!("{} is longer than {most} bytes", blob.name))?;
        let mut piece = [0; 64 * 1024];
        while left > 0 {
            let room = left.min(piece.len());
            match from.read(&mut piece[..room]) {
                Ok(0) => return Err(format!("{} is cut off", blob.name)),
                Ok(read) => blob.bytes.extend_from_slice(&piece[..read]),
                Err(e) => return Err(format!("{}: {e}", blob.name)),
            }
            left = blob.len as usize - blob.bytes.len();
            if Instant::now() > deadline {
                return Err(format!("{} does not come", blob.name));
            }
        }
    }
    Ok(request)
}

/// Answers; a caller that is gone does not matter.
pub fn answer(mut stream: UnixStream, answer: &Answer) {
    if let Ok(mut line) = serde_json::to_vec(answer) {
        line.push(b'\n');
        let _ = stream.write_all(&line);
    }
}

/// Asks the running agent; `None` if none runs.
///
/// # Errors
/// If it does not answer.
pub fn ask(run: &Path, request: &mut Request) -> Result<Option<Answer>> {
    let path = path(run);
    let Ok(mut stream) = UnixStream::connect(&path) else { return Ok(None) };
    let fail = |source| AgentError::Read { path: path.clone(), source };
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(fail)?;
    let mut line = serde_json::to_vec(request).unwrap_or_default();
    line.push(b'\n');
    let sent = stream.write_all(&line);
    // Who does not listen to the end has answered why.
    let _ = sent.and_then(|()| request.files().iter().try_for_each(|(blob, _)| stream.write_all(&blob.bytes)));
    let mut text = String::new();
    BufReader::new((&stream).take(4 << 20)).read_line(&mut text).map_err(fail)?;
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|e| AgentError::Format { path: path.clone(), fault: FileFault::Answer(e) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_cross() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().to_owned();
        assert!(ask(&run, &mut Request::Confirm).unwrap().is_none());
        let listener = listen(&run).unwrap();
        let asker = std::thread::spawn(move || ask(&run, &mut Request::Revert).unwrap());
        let (stream, request, caller) = loop {
            match accept(&listener) {
                Some(pair) => break pair,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert_eq!(request, Request::Revert);
        assert_eq!(caller, Caller::own());
        answer(stream, &Answer::Failed { code: 13, error: "x".into() });
        assert!(matches!(asker.join().unwrap(), Some(Answer::Failed { code: 13, .. })));
    }

    #[test]
    fn an_update_brings_its_files_along() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, len: usize| {
            let path = dir.path().join(name);
            std::fs::write(&path, vec![b'x'; len]).unwrap();
            Blob::read(&path, 1 << 20).unwrap()
        };
        let (tables, signature) = (file("t", 300_000), file("s", 10));
        let mut request = Request::Update { tables, signature, assignment: None, confirm_within: Some(9) };
        let expected = request.clone();
        let listener = listen(dir.path()).unwrap();
        let run = dir.path().to_owned();
        let asker = std::thread::spawn(move || ask(&run, &mut request).unwrap());
        let (stream, request, _) = loop {
            match accept(&listener) {
                Some(taken) => break taken,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert_eq!(request, expected);
        answer(stream, &Answer::Done(None));
        assert!(matches!(asker.join().unwrap(), Some(Answer::Done(None))));
    }

    #[test]
    fn files_that_are_too_long_or_do_not_come_are_refused() {
        let update = |len: u64| {
            let blob = |len| Blob { name: "f".to_owned(), len, bytes: Vec::new() };
            Request::Update { tables: blob(len), signature: blob(2), assignment: None, confirm_within: None }
        };
        assert!(fill(update(u64::MAX), &mut &b""[..]).unwrap_err().contains("longer"));
        assert!(fill(update(3), &mut &b"abc"[..]).unwrap_err().contains("cut off"));
        assert!(fill(update(3), &mut &b"abcde"[..]).is_ok());
    }

    #[test]
    fn nonsense_gets_an_answer_and_no_work() {
        let dir = tempfile::tempdir().unwrap();
        let listener = listen(dir.path()).unwrap();
        for bad in ["{\"op\":\"unload\"}\n", "x\n", "{}\n", "{\"op\":\"update\"}\n"] {
            let mut stream = UnixStream::connect(path(dir.path())).unwrap();
            stream.write_all(bad.as_bytes()).unwrap();
            assert!(accept(&listener).is_none());
            let mut text = String::new();
            BufReader::new(stream).read_line(&mut text).unwrap();
            assert!(text.contains("not understood"), "{bad}: {text}");
        }
    }
}
