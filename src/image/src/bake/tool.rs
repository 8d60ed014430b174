//! Runs the programs of e2fsprogs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::BakeError;
use super::disk::Span;

/// The notation of libext2fs for a file system inside a file.
pub(super) fn at(disk: &Path, span: Span) -> PathBuf {
    let mut name = disk.as_os_str().to_owned();
    if span.offset != 0 {
        name.push(format!("?offset={}", span.offset));
    }
    PathBuf::from(name)
}

/// What a tool said.
pub(super) struct Said {
    /// Exit code; `None` after a signal.
    pub(super) code: Option<i32>,
    /// Standard output.
    pub(super) bytes: Vec<u8>,
    /// Standard error.
    pub(super) stderr: String,
}

/// Runs a tool, with `epoch` as the current time.
pub(super) fn run(tool: &'static str, command: &mut Command, epoch: i64) -> Result<Said, BakeError> {
    // libext2fs takes this for the current time; 0 would mean the real one.
    command.env("E2FSPROGS_FAKE_TIME", epoch.max(1).to_string()).env("LC_ALL", "C").stdin(Stdio::null());
    // e2fsprogs lives in sbin, which is not on every user's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env_remove("DEBUGFS_PAGER");
    match command.output() {
        Ok(output) => Ok(Said {
            code: output.status.code(),
            bytes: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(BakeError::Tool { tool, what: "not found; install it with: apt-get install e2fsprogs".to_owned() })
        }
        Err(e) => Err(BakeError::Tool { tool, what: e.to_string() }),
    }
}
