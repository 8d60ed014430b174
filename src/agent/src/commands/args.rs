//! The agent's command line. Written by hand: a parser library would be a third of the binary.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Misuse, Result};
use crate::update::audit::MOST_SECONDS;

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
    /// Say what binds a unit, or all.
    Show(Option<String>),
    /// List the processes that are bound.
    Ps,
    /// Say what an event means.
    Explain(String),
    /// Put a unit into audit mode.
    Audit {
        /// Its name.
        unit: String,
        /// For how long; none: end it.
        seconds: Option<u64>,
    },
    /// Print completions for a shell.
    Completions(Shell),
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

/// A shell that completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// bash(1).
    Bash,
    /// zsh(1).
    Zsh,
    /// fish(1).
    Fish,
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
  show      [UNIT]
            say what binds a unit: profile, mode, rules and why they are there, limits, windows, changes
  ps        list the processes that are bound: unit, profile, mode
  explain   EVENT
            say what an event means, and which rule would permit it; EVENT is its JSON line, its number
            (`seq`, of this boot's journal), or - for standard input
  update    --tables FILE --signature FILE [--assignment FILE] [--confirm-within SECONDS]
            take a signed update; a newer serial than any before is needed. One that a tighten key signed
            is taken if it is a subset of the build's policy, and for as long as it says
  confirm   keep the update that waits for confirmation
  revert    go back from an update that waits for confirmation, or from a tightened policy to the build's
  release   UNIT|PID
            let a unit, or a process with its descendants, out of quarantine
  audit     UNIT --for DURATION | UNIT --end
            only report what the unit's profile refuses, for a time (30s, 30m, 8h; at most 24h); its guards
            stay enforced. The kernel ends it, also without an agent (root, unconfined)
  verify    check the image's policy and keys; nothing is loaded
  kernel    say what this kernel has that this build does not know; exit code 1 if there is any
  unload    end enforcement and remove everything from the kernel (root, unconfined)
  completions  bash|zsh|fish

Examples:
  kiln-agent show nginx.service
  kiln-agent ps --format json
  journalctl -u kiln-agent -o cat | grep would_deny | tail -1 | kiln-agent explain -
  kiln-agent audit nginx.service --for 30m

Exit codes: 0 done; 1 not enforced, or refused; 2 wrong usage or bad input; 10 signature; 11 too old;
12 kernel; 13 nothing loaded; 14 another agent is at work; 15 proof failed; 16 POS; 17 cannot write.
";

/// Commands that take a word.
const WITH_WORD: [&str; 5] = ["release", "show", "explain", "audit", "completions"];

/// `30s`, `30m`, `8h`; without a letter seconds.
fn duration(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['s', 'm', 'h']);
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Parses the arguments behind the program's name.
///
/// # Errors
/// [`Misuse`].
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args> {
    let mut args = args.into_iter();
    let (mut command, mut held) = (None, None);
    let (mut seconds, mut end) = (None, false);
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
            "--for" => {
                let asked = value()?.to_str().and_then(duration).filter(|s| (1..=MOST_SECONDS).contains(s));
                seconds = Some(asked.ok_or(Misuse::Audit)?);
            }
            "--end" => end = true,
            "-" if command.as_deref() == Some("explain") && held.is_none() => held = Some("-".to_owned()),
            option if option.starts_with('-') => return Err(Misuse::Option(option.to_owned()).into()),
            name if command.is_none() => command = Some(name.to_owned()),
            who if command.as_deref().is_some_and(|c| WITH_WORD.contains(&c)) && held.is_none() => {
                held = Some(who.to_owned());
            }
            extra => return Err(Misuse::Extra(extra.to_owned()).into()),
        }
    }
    let name = command.ok_or(Misuse::NoCommand)?;
    let options = tables.is_some() || signature.is_some() || assignment.is_some() || within.is_some();
    if options && name != "update" {
        return Err(Misuse::NoFiles(name).into());
    }
    if (seconds.is_some() || end) && name != "audit" {
        return Err(Misuse::Option(if end { "--end" } else { "--for" }.to_owned()).into());
    }
    let command = match name.as_str() {
        "show" => Command::Show(held),
        "ps" => Command::Ps,
        "explain" => Command::Explain(held.ok_or(Misuse::Explain)?),
        "audit" => match (held, seconds, end) {
            (Some(unit), Some(_), false) => Command::Audit { unit, seconds },
            (Some(unit), None, true) => Command::Audit { unit, seconds: None },
            _ => return Err(Misuse::Audit.into()),
        },
        "completions" => match held.as_deref() {
            Some("bash") => Command::Completions(Shell::Bash),
            Some("zsh") => Command::Completions(Shell::Zsh),
            Some("fish") => Command::Completions(Shell::Fish),
            _ => return Err(Misuse::Shell.into()),
        },
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
        assert_eq!(of("show").unwrap().command, Command::Show(None));
        assert_eq!(of("show a.service").unwrap().command, Command::Show(Some("a.service".into())));
        assert_eq!(of("explain -").unwrap().command, Command::Explain("-".into()));
        let audit = |seconds| Command::Audit { unit: "a.service".into(), seconds };
        for (line, expected) in [
            ("audit a.service --for 30m", audit(Some(1800))),
            ("audit --for 90 a.service", audit(Some(90))),
            ("audit a.service --for 24h", audit(Some(86_400))),
            ("audit a.service --end", audit(None)),
            ("completions zsh", Command::Completions(Shell::Zsh)),
        ] {
            assert_eq!(of(line).unwrap().command, expected, "{line}");
        }
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
            "audit",
            "audit a.service",
            "audit --for 30m",
            "audit a.service --for 0",
            "audit a.service --for 25h",
            "audit a.service --for 30d",
            "audit a.service --for mm",
            "audit a.service --for 18446744073709551615h",
            "audit a.service --for 30m --end",
            "show a.service --for 30m",
            "show a.service b.service",
            "explain",
            "ps a.service",
            "completions",
            "completions tcsh",
        ] {
            assert!(matches!(of(bad), Err(AgentError::Usage(_))), "{bad}");
        }
    }
}
