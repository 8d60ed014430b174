//! systemd: what it holds a unit to, and having it read its files again. Through systemctl(1), which as root speaks with it
//! directly, so that no message bus is needed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{AgentError, Result, Step};
use crate::machine::command::within;

/// There while systemd is the system's manager (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
const PROGRAMS: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
/// As long as systemctl(1) itself waits for a reload of a machine with many units (DefaultTimeoutStartSec=).
const PATIENCE: Duration = Duration::from_secs(90);
const PROPERTIES: &str = "--property=CPUQuotaPerSecUSec,MemoryMax,TasksMax,LimitNOFILE,LimitNOFILESoft,\
                          IOReadBandwidthMax,IOWriteBandwidthMax";

/// What systemd holds a unit to. None: to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Microseconds of processor time in a second.
    pub cpu: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Tasks.
    pub pids: Option<u64>,
    /// Descriptors, soft.
    pub files_soft: Option<u64>,
    /// Descriptors, hard.
    pub files: Option<u64>,
    /// Bytes a second, by device.
    pub read: BTreeMap<String, u64>,
    /// Bytes a second, by device.
    pub write: BTreeMap<String, u64>,
}

/// Whether systemd is the system's manager.
pub fn is_there() -> bool {
    Path::new(BOOTED).is_dir()
}

fn systemctl(words: &[&str], units: &[&str]) -> Result<String> {
    let fail = |source: io::Error| AgentError::kernel(Step::Manager(words[0].to_owned()), source);
    let program = PROGRAMS.iter().find(|path| Path::new(path).exists()).unwrap_or(&PROGRAMS[0]);
    let mut command = Command::new(program);
    command.args(words).arg("--").args(units).env_clear().env("LC_ALL", "C");
    let output = within(command, PATIENCE).map_err(fail)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(fail(io::Error::other(format!("{}: {}", output.status, said.trim()))))
}

/// Has systemd read all units' files again. What changed for units that run holds for them, too.
///
/// # Errors
/// If it cannot be told, or does not.
pub fn reload() -> Result<()> {
    systemctl(&["daemon-reload"], &[]).map(drop)
}

/// What systemd holds units to.
///
/// # Errors
/// If it does not answer.
pub fn ask(units: &[&str]) -> Result<BTreeMap<String, Settings>> {
    if units.is_empty() {
        return Ok(BTreeMap::new());
    }
    let said = systemctl(&["show", PROPERTIES], units)?;
    let answers: Vec<&str> = said.trim_end().split("\n\n").collect();
    if answers.len() != units.len() {
        let source = io::Error::other(format!("{} answers for {} units", answers.len(), units.len()));
        return Err(AgentError::kernel(Step::Manager("show".to_owned()), source));
    }
    Ok(units.iter().zip(answers).map(|(unit, answer)| ((*unit).to_owned(), settings(answer))).collect())
}

/// Whether a unit ended because it found no memory, as far as systemd knows.
pub fn ended_for_memory(unit: &str) -> bool {
    systemctl(&["show", "--property=Result"], &[unit]).is_ok_and(|said| said.trim() == "Result=oom-kill")
}

/// `infinity`, and what is not a number, is none.
fn settings(answer: &str) -> Settings {
    let mut found = Settings::default();
    for (name, value) in answer.lines().filter_map(|line| line.split_once('=')) {
        let number = value.parse().ok();
        match name {
            "CPUQuotaPerSecUSec" => found.cpu = microseconds(value),
            "MemoryMax" => found.memory = number,
            "TasksMax" => found.pids = number,
            "LimitNOFILE" => found.files = number,
            "LimitNOFILESoft" => found.files_soft = number,
            "IOReadBandwidthMax" => found.read.extend(device(value)),
            "IOWriteBandwidthMax" => found.write.extend(device(value)),
            _ => {}
        }
    }
    found
}

fn device(value: &str) -> Option<(String, u64)> {
    let (path, most) = value.rsplit_once(' ')?;
    Some((path.to_owned(), most.parse().ok()?))
}

/// A time span as systemd writes it: `1s 500ms`, `250ms`.
fn microseconds(value: &str) -> Option<u64> {
    let mut all = 0.0;
    for word in value.split_ascii_whitespace() {
        let at = word.find(|c: char| c.is_ascii_alphabetic())?;
        let number: f64 = word[..at].parse().ok()?;
        all += number
            * match &word[at..] {
                "us" => 1.0,
                "ms" => 1e3,
                "s" => 1e6,
                "min" => 60e6,
                "h" => 3600e6,
                _ => return None,
            };
    }
    (all > 0.0).then_some(all as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_does_not_come_is_not_waited_for() {
        let mut slow = Command::new("sleep");
        slow.arg("60");
        let found = within(slow, Duration::from_millis(20)).map(drop);
        assert_eq!(found.map_err(|e| e.kind()), Err(io::ErrorKind::TimedOut));
        let mut words = Command::new("sh");
        words.args(["-c", "head -c 200000 /dev/zero; echo x >&2; exit 3"]);
        let said = within(words, PATIENCE).unwrap();
        assert_eq!((said.stdout.len(), said.stderr.as_slice(), said.status.code()), (200_000, &b"x\n"[..], Some(3)));
    }

    #[test]
    fn what_systemd_says_is_understood() {
        let said = "CPUQuotaPerSecUSec=1s 500ms\nMemoryMax=67108864\nTasksMax=infinity\nLimitNOFILE=524288\n\
                    LimitNOFILESoft=1024\nIOReadBandwidthMax=/dev/vda 1000\nIOReadBandwidthMax=/dev/vdb 2000\nOther=1\n";
        let expect = Settings {
            cpu: Some(1_500_000),
            memory: Some(64 << 20),
            pids: None,
            files_soft: Some(1024),
            files: Some(524_288),
            read: [("/dev/vda".to_owned(), 1000), ("/dev/vdb".to_owned(), 2000)].into(),
            write: BTreeMap::new(),
        };
        assert_eq!(settings(said), expect);
        for (text, expect) in [("infinity", None), ("250ms", Some(250_000)), ("1min 5s", Some(65_000_000)), ("", None)]
        {
            assert_eq!(microseconds(text), expect, "{text}");
        }
    }
}
