//! Programs that the agent runs, and does not wait for longer than it can.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest answer that is read.
const MOST: u64 = 16 << 20;
const PAUSE: Duration = Duration::from_millis(10);

/// Runs a program without input to its end, or ends it after a time.
///
/// # Errors
/// If it cannot be run, or did not end in time.
pub fn within(mut command: Command, most: Duration) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let deadline = Instant::now() + most;
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Output { status, stdout: join(out), stderr: join(err) });
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", most.as_secs())));
        }
        thread::sleep(PAUSE);
    }
}

type Reader = thread::JoinHandle<Vec<u8>>;

/// Reads meanwhile: a full pipe would stop the program.
fn reader(from: Option<impl Read + Send + 'static>) -> Option<Reader> {
    from.map(|from| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.take(MOST).read_to_end(&mut bytes);
            bytes
        })
    })
}

fn join(reader: Option<Reader>) -> Vec<u8> {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", text]);
        command
    }

    #[test]
    fn what_ends_is_read_and_what_does_not_is_ended() {
        let said = within(shell("echo a; echo b >&2; exit 3"), Duration::from_secs(60)).unwrap();
        assert_eq!((said.status.code(), &*said.stdout, &*said.stderr), (Some(3), &b"a\n"[..], &b"b\n"[..]));
        let error = within(shell("exec sleep 1000"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(within(Command::new("/no/such/program"), Duration::from_secs(1)).is_err());
    }
}
