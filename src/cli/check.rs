//! `kiln check`.

use std::path::PathBuf;

use serde::Serialize;

use super::sources::{self, Report, report};
use super::{Exit, Format, Out};
use crate::policy::normal::{BlockKind, Policy};

/// Check policies: everything that is wrong, in one run.
///
/// The files are checked together as one policy. Exit code 0 if it is right, 1 if an error is found (with
/// --deny-warnings a warning too), 2 if a file cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: kiln check nginx.pdl guards.pdl")]
pub struct Args {
    /// The files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// End with 1 if there are warnings.
    #[arg(long)]
    deny_warnings: bool,
}

#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    report: Report,
    digest: String,
    profiles: usize,
    guards: usize,
    rules: usize,
}

/// Checks and reports.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let texts = args.files.iter().map(|f| sources::read(f)).collect::<anyhow::Result<Vec<_>>>()?;
    let loaded = match crate::policy::load_with_warnings(&texts, &sources::Files) {
        Ok(loaded) => loaded,
        Err(found) => {
            report(&found, out)?;
            if out.format() == Format::Text {
                let n = Report::new(&found);
                let more = if n.omitted == 0 { String::new() } else { format!(", {} more", n.omitted) };
                out.note(format!("refused: {}, {}{more}", count(n.errors, "error"), count(n.warnings, "warning")));
            }
            return Ok(Exit::Finding);
        }
    };
    let warned = !loaded.warnings.is_empty();
    let policy = &loaded.policy;
    let checked = Checked {
        report: Report::new(&loaded.warnings),
        digest: crate::policy::digest(policy).to_string(),
        profiles: blocks(policy, BlockKind::Profile),
        guards: blocks(policy, BlockKind::Guard),
        rules: policy.blocks.iter().map(|b| b.rules.len() + b.nevers.len() + b.limits.len()).sum(),
    };
    match out.format() {
        Format::Json => out.json(&checked)?,
        Format::Text => {
            report(&loaded.warnings, out)?;
            let parts = [
                count(checked.profiles, "profile"),
                count(checked.guards, "guard"),
                count(checked.rules, "rule"),
                count(checked.report.warnings + checked.report.omitted, "warning"),
            ];
            out.line(format!("ok: {}; {}", parts.join(", "), checked.digest))?;
        }
    }
    Ok(if warned && args.deny_warnings { Exit::Finding } else { Exit::Done })
}

fn blocks(policy: &Policy, kind: BlockKind) -> usize {
    policy.blocks.iter().filter(|b| b.kind == kind).count()
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
