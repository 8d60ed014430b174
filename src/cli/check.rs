//! `kiln check`.

use std::path::PathBuf;

use serde::Serialize;

use super::sources::{self, Report, report};
use super::{Exit, Format, Out};
use crate::compile::{Image, KernelVersion, Options, Users};
use crate::findings;
use crate::pdl::Diagnostics;
use crate::policy::Loaded;
use crate::policy::normal::{BlockKind, Policy};
use crate::prepare;

const EXAMPLES: &str = "Examples:
  kiln check nginx.pdl guards.pdl
  kiln check nginx.pdl --kernel 6.12
  kiln check nginx.pdl --image disk.raw";

/// Check policies: everything that is wrong, in one run.
///
/// The files are checked together as one policy, and compiled: what the kernel cannot enforce is an error. Exit code 0 if
/// it is right, 1 if an error is found (with --deny-warnings a warning too), 2 if a file cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// End with 1 if there are warnings.
    #[arg(long)]
    deny_warnings: bool,
    /// The oldest kernel that must enforce the policy [default: the image's oldest, else 6.1].
    #[arg(long, value_name = "VERSION")]
    kernel: Option<KernelVersion>,
    /// A root file system or raw disk image: units and programs that it does not have are errors, and
    /// names of users are those of its /etc/passwd.
    #[arg(long, value_name = "IMAGE")]
    image: Option<PathBuf>,
    /// The root partition's number, where the image has several candidates.
    #[arg(long, value_name = "N", requires = "image")]
    partition: Option<u32>,
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
        Err(found) => return refused(&found, out),
    };
    let found = compiled(&args, &loaded)?;
    if found.has_errors() {
        return refused(&found, out);
    }
    let warned = !found.is_empty();
    let policy = &loaded.policy;
    let checked = Checked {
        report: Report::new(&found),
        digest: crate::policy::digest(policy).to_string(),
        profiles: blocks(policy, BlockKind::Profile),
        guards: blocks(policy, BlockKind::Guard),
        rules: policy.blocks.iter().map(|b| b.rules.len() + b.nevers.len() + b.limits.len()).sum(),
    };
    match out.format() {
        Format::Json => out.json(&checked)?,
        Format::Text => {
            report(&found, out)?;
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

/// The warnings, and what the compiler and the image say.
fn compiled(args: &Args, loaded: &Loaded) -> anyhow::Result<Diagnostics> {
    let image = args.image.as_deref();
    let oldest = || image.map_or(KernelVersion::BASELINE, |image| prepare::oldest_kernel(image, args.partition));
    let digest = crate::policy::digest(&loaded.policy);
    let options = Options { policy: digest, serial: 1, kernel: args.kernel.unwrap_or_else(oldest) };
    let users = image.map_or_else(Users::default, |image| prepare::users(image, args.partition));
    let about = image.map(|image| prepare::about(image, args.partition)).transpose()?;
    let (mut found, tables) = findings::findings(loaded, &options, Image { users: &users, info: about.as_ref() })?;
    if let Some((image, tables)) = image.zip(tables) {
        let missing = prepare::missing(image, args.partition, &tables.to_bytes()?)?;
        found.extend(findings::absent(loaded, &missing));
        found.sort();
    }
    Ok(found)
}

fn refused(found: &Diagnostics, out: &mut Out) -> anyhow::Result<Exit> {
    report(found, out)?;
    if out.format() == Format::Text {
        let n = Report::new(found);
        let more = if n.omitted == 0 { String::new() } else { format!(", {} more", n.omitted) };
        out.note(format!("refused: {}, {}{more}", count(n.errors, "error"), count(n.warnings, "warning")));
    }
    Ok(Exit::Finding)
}

fn blocks(policy: &Policy, kind: BlockKind) -> usize {
    policy.blocks.iter().filter(|b| b.kind == kind).count()
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
