//! Where commands print, and how they end.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines: one JSON document on standard output.
    Json,
}

/// How a command ended without an error. The numbers are in docs/exit-codes.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0.
    Done,
    /// 1: a finding, a difference or a denial.
    Finding,
    /// 2: wrong usage or bad input, already reported.
    BadInput,
    /// Another documented code.
    Code(u8),
}

/// An error that carries its own exit code; any other error ends with 2.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fail {
    /// The documented exit code.
    pub code: u8,
    /// What, where, and how to mend it.
    pub message: String,
}

/// Standard output and error of one command.
#[derive(Debug)]
pub struct Out {
    format: Format,
    color: bool,
    gone: bool,
}

impl Out {
    /// Colour is on only on a terminal, and off where NO_COLOR is set (no-color.org).
    pub fn new(format: Format) -> Out {
        let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Out { format, color, gone: false }
    }

    /// The chosen format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether errors may be coloured.
    pub fn color(&self) -> bool {
        self.color
    }

    /// One line on standard output.
    pub fn line(&mut self, text: impl std::fmt::Display) -> io::Result<()> {
        self.raw(format!("{text}\n").as_bytes())
    }

    /// Whether the reader of standard output went away: what never ends ends then.
    pub fn gone(&self) -> bool {
        self.gone
    }

    /// Bytes on standard output. A reader that went away (`| head`) misses the rest; the command does what it was asked to,
    /// and its exit code stays what it is.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            other => other,
        }
    }

    /// A result for machines, indented, keys in the order of the type.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(value)?;
        bytes.push(b'\n');
        self.raw(&bytes)
    }

    /// A note on standard error: not part of the result.
    pub fn note(&mut self, text: impl std::fmt::Display) {
        say(text);
    }

    /// Progress for what can take more than a second; silent where standard error is not a terminal.
    pub fn progress(&self, what: &str) -> ProgressBar {
        if !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        bar
    }

    /// Turns a command's result into an exit code, printing its error.
    pub fn finish(&mut self, result: anyhow::Result<Exit>) -> ExitCode {
        match result {
            Ok(Exit::Done) => ExitCode::SUCCESS,
            Ok(Exit::Finding) => ExitCode::from(1),
            Ok(Exit::BadInput) => ExitCode::from(2),
            Ok(Exit::Code(code)) => ExitCode::from(code),
            Err(error) => {
                let code = error.downcast_ref::<Fail>().map_or(2, |f| f.code);
                if self.format == Format::Json {
                    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
                    let body = serde_json::json!({ "error": error.to_string(), "causes": causes, "code": code });
                    say(body);
                } else {
                    let label = if self.color { "\x1b[1;31merror\x1b[0m" } else { "error" };
                    say(format_args!("{label}: {error}"));
                    error.chain().skip(1).for_each(|cause| say(format_args!("  because: {cause}")));
                }
                ExitCode::from(code)
            }
        }
    }
}

/// One line on standard error. Who does not listen misses it; the exit code stays what it is.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
