//! How the commands reach a running agent: one JSON line each way over a socket that only root may use.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_base::event::Evidence;
use serde::{Deserialize, Serialize};

use crate::error::{AgentError, FileFault, Result};

const MAX_LINE: u64 = 64 * 1024;
/// A caller that does not send its line in this time is not waited for: events would pile up.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// What a command asks of the running agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Take an update from files.
    Update {
        /// Absolute path.
        tables: PathBuf,
        /// Absolute path.
        signature: PathBuf,
        /// Absolute path.
        assignment: Option<PathBuf>,
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
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done; with proof of what is in force.
    Done(Option<Evidence>),
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
pub fn accept(listener: &UnixListener) -> Option<(UnixStream, Request)> {
    let (stream, _) = listener.accept().ok()?;
    if !rustix::net::sockopt::socket_peercred(&stream).ok()?.uid.is_root() {
        return None;
    }
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(READ_TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(READ_TIMEOUT)).ok()?;
    let mut line = String::new();
    BufReader::new((&stream).take(MAX_LINE)).read_line(&mut line).ok()?;
    match serde_json::from_str(&line) {
        Ok(request) => Some((stream, request)),
        Err(e) => {
            answer(stream, &Answer::Failed { code: 2, error: format!("the request is not understood: {e}") });
            None
        }
    }
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
pub fn ask(run: &Path, request: &Request) -> Result<Option<Answer>> {
    let path = path(run);
    let Ok(mut stream) = UnixStream::connect(&path) else { return Ok(None) };
    let fail = |source| AgentError::Read { path: path.clone(), source };
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(fail)?;
    let mut line = serde_json::to_vec(request).unwrap_or_default();
    line.push(b'\n');
    stream.write_all(&line).map_err(fail)?;
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
        assert!(ask(&run, &Request::Confirm).unwrap().is_none());
        let listener = listen(&run).unwrap();
        let asker = std::thread::spawn(move || ask(&run, &Request::Revert).unwrap());
        let (stream, request) = loop {
            match accept(&listener) {
                Some(pair) => break pair,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert_eq!(request, Request::Revert);
        answer(stream, &Answer::Failed { code: 13, error: "x".into() });
        assert!(matches!(asker.join().unwrap(), Some(Answer::Failed { code: 13, .. })));
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
