//! The agent's command line. Written by hand: a parser library would be a third of the binary.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Misuse, Result};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Load the newest valid policy.
    Load,
    /// Report events, take updates.
    Run,
    /// Say what is enforced.
    Status,
    /// Take a signed update from files.
    Update {
        /// The tables file.
        tables: PathBuf,
        /// Its DSSE envelope.
        signature: PathBuf,
        /// The POS's assignment, where there is one.
        assignment: Option<PathBuf>,
        /// Seconds until it must be confirmed; absent: it is confirmed by its proof.
        confirm_within: Option<u64>,
    },
    /// Keep the update that waits.
    Confirm,
    /// Go back to the generation before.
    Revert,
    /// Let a unit or process out of quarantine.
    Release(String),
    /// End enforcement.
    Unload,
    /// Check baked files without touching the kernel.
    Verify,
    /// Say what this kernel has that this build does not know.
    Kernel,
    /// Keep a descriptor for as long as possible; not for people.
    Keep,
    /// Print the usage.
    Help,
    /// Print the version.
    Version,
}

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// What to do.
    pub command: Command,
    /// Whether to print JSON.
    pub json: bool,
}

/// Printed by `--help`.
pub const USAGE: &str = "\
Loads Kiln's policy into the kernel, reports what it refuses, and takes signed updates.

Usage: kiln-agent COMMAND [--format text|json]

Commands:
  load      load the newest policy whose signature holds, and prove that it is enforced
  run       report events as JSON lines, keep them for the POS, take its updates
  status    say what is enforced, by the kernel's own account
  update    --tables FILE --signature FILE [--assignment FILE] [--confirm-within SECONDS]
            take a signed update; a newer serial than any before is needed. One that a tighten key signed
            is taken if it is a subset of the build's policy, and for as long as it says
  confirm   keep the update that waits for confirmation
  revert    go back from an update that waits for confirmation, or from a tightened policy to the build's
  release   UNIT|PID
            let a unit, or a process with its descendants, out of quarantine
  verify    check the image's policy and keys; nothing is loaded
  kernel    say what this kernel has that this build does not know; exit code 1 if there is any
  unload    end enforcement and remove everything from the kernel (root, unconfined)

Exit codes: 0 done; 1 not enforced, or refused; 2 wrong usage or bad input; 10 signature; 11 too old;
12 kernel; 13 nothing loaded; 14 another agent is at work; 15 proof failed; 16 POS; 17 cannot write.
";

/// Parses the arguments behind the program's name.
///
/// # Errors
/// [`Misuse`].
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args> {
    let mut args = args.into_iter();
    let (mut command, mut held) = (None, None);
    let (mut json, mut tables, mut signature, mut assignment, mut within) = (false, None, None, None, None);
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy().into_owned();
        let mut value = || args.next().ok_or_else(|| Misuse::NoValue(text.clone()));
        match text.as_str() {
            "--help" | "-h" | "help" => return Ok(Args { command: Command::Help, json }),
            "--version" | "-V" => return Ok(Args { command: Command::Version, json }),
            "--format" => match value()?.to_str() {
                Some("json") => json = true,
                Some("text") => json = false,
                _ => return Err(Misuse::Format.into()),
            },
            "--tables" => tables = Some(PathBuf::from(value()?)),
            "--signature" => signature = Some(PathBuf::from(value()?)),
            "--assignment" => assignment = Some(PathBuf::from(value()?)),
            "--confirm-within" => {
                let seconds = value()?.to_str().and_then(|v| v.parse().ok()).filter(|s| (5..=86_400).contains(s));
                within = Some(seconds.ok_or(Misuse::ConfirmWithin)?);
            }
            option if option.starts_with('-') => return Err(Misuse::Option(option.to_owned()).into()),
            name if command.is_none() => command = Some(name.to_owned()),
            who if command.as_deref() == Some("release") && held.is_none() => held = Some(who.to_owned()),
            extra => return Err(Misuse::Extra(extra.to_owned()).into()),
        }
    }
    let name = command.ok_or(Misuse::NoCommand)?;
    let options = tables.is_some() || signature.is_some() || assignment.is_some() || within.is_some();
    if options && name != "update" {
        return Err(Misuse::NoFiles(name).into());
    }
    let command = match name.as_str() {
        "load" => Command::Load,
        "keep" => Command::Keep,
        "run" => Command::Run,
        "status" => Command::Status,
        "confirm" => Command::Confirm,
        "revert" => Command::Revert,
        "unload" => Command::Unload,
        "release" => Command::Release(held.ok_or(Misuse::Release)?),
        "verify" => Command::Verify,
        "kernel" => Command::Kernel,
        "update" => match (tables, signature) {
            (Some(tables), Some(signature)) => {
                Command::Update { tables, signature, assignment, confirm_within: within }
            }
            _ => return Err(Misuse::Update.into()),
        },
        other => return Err(Misuse::Command(other.to_owned()).into()),
    };
    Ok(Args { command, json })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::AgentError;

    fn of(line: &str) -> Result<Args> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn each_command() {
        assert_eq!(of("load").unwrap().command, Command::Load);
        assert!(of("status --format json").unwrap().json);
        assert!(of("--format json status").unwrap().json);
        assert_eq!(of("release nginx.service").unwrap().command, Command::Release("nginx.service".into()));
        assert_eq!(
            of("update --tables a --signature b --assignment c --confirm-within 30").unwrap().command,
            Command::Update {
                tables: "a".into(),
                signature: "b".into(),
                assignment: Some("c".into()),
                confirm_within: Some(30)
            }
        );
    }

    #[test]
    fn wrong_usage_is_told() {
        for bad in [
            "",
            "lod",
            "load load",
            "load --tables x",
            "update",
            "update --tables a",
            "update --tables",
            "update --tables a --signature b --confirm-within 1",
            "update --tables a --signature b --confirm-within x",
            "status --format yaml",
            "status --unsigned",
            "status nginx.service",
            "release",
            "release a.service b.service",
        ] {
            assert!(matches!(of(bad), Err(AgentError::Usage(_))), "{bad}");
        }
    }
}
