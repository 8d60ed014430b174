//! `kiln compile`.

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use super::sources::{self, Files};
use super::{Exit, Format, Out};
use crate::abi::Tables;
use crate::abi::layout::USABLE_WORDS;
use crate::bundle::write_aside;
use crate::compile::{self, CompileError, Gap, Image, KernelVersion, Options, Users};
use crate::model::Digest;
use crate::policy;
use crate::prepare::{self, proof};

/// Example: kiln compile nginx.pdl -o nginx.tables --serial 2
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy; several files are one policy.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the tables here. Nothing is written if some of the policy cannot be enforced.
    #[arg(short, long, value_name = "TABLES")]
    output: PathBuf,
    /// The oldest kernel that must enforce the policy.
    #[arg(long, default_value_t = KernelVersion::BASELINE)]
    kernel: KernelVersion,
    /// The policy's serial: higher than that of any version published before.
    #[arg(long, default_value_t = 1)]
    serial: u64,
    /// The root file system or raw disk image for which it is: what `label` and `image` ask for is read there, and the
    /// policy's names of users are those of its /etc/passwd.
    #[arg(long, value_name = "IMAGE")]
    image: Option<PathBuf>,
    /// The root partition's number, where the image has several candidates.
    #[arg(long, value_name = "N", requires = "image")]
    partition: Option<u32>,
}

/// What was made, or what could not be.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    kernel: String,
    gaps: Vec<Gap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<Made>,
}

#[derive(Debug, Serialize)]
struct Made {
    path: PathBuf,
    digest: Digest,
    policy: Digest,
    serial: u64,
    bytes: usize,
    subjects: Vec<String>,
    rules: usize,
    decisions: u32,
    words: usize,
    words_at_most: usize,
}

/// Compiles a policy to tables; exit code 1 if some of it cannot be enforced.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let texts = args.files.iter().map(|path| sources::read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let loaded = match policy::load_with_warnings(&texts, &Files) {
        Ok(loaded) => loaded,
        Err(found) => {
            match out.format() {
                Format::Text => out.note(found.render(out.color()).trim_end()),
                Format::Json => out.json(&serde_json::json!({ "ok": false, "diagnostics": found.records() }))?,
            }
            return Ok(Exit::BadInput);
        }
    };
    if out.format() == Format::Text && !loaded.warnings.is_empty() {
        out.note(loaded.warnings.render(out.color()).trim_end());
    }
    let digest = policy::digest(&loaded.policy);
    let options = Options { policy: digest, serial: args.serial, kernel: args.kernel };
    let progress = out.progress("compiling");
    let image = args.image.as_deref();
    let users = image.map_or_else(Users::default, |image| prepare::users(image, args.partition));
    let about = image.map(|image| prepare::about(image, args.partition)).transpose()?;
    let result = compile::compile_for(&loaded.policy, &options, Image { users: &users, info: about.as_ref() });
    progress.finish_and_clear();
    let mut tables = match result {
        Ok(tables) => tables,
        Err(CompileError::Internal(error)) => return Err(CompileError::Internal(error).into()),
        Err(error) => return refuse(error, args.kernel, out),
    };
    proof::relate(&mut tables, &args.files[0]);
    let bytes = tables.to_bytes()?;
    write_aside(&args.output, &bytes, 0o644).with_context(|| format!("cannot write {}", args.output.display()))?;
    let kernel = args.kernel;
    report(made(args, &tables, &bytes), kernel, out)
}

fn made(args: Args, tables: &Tables, bytes: &[u8]) -> Made {
    Made {
        digest: Tables::digest(bytes),
        policy: tables.metadata.policy,
        serial: args.serial,
        path: args.output,
        bytes: bytes.len(),
        subjects: tables.metadata.subjects.iter().map(|s| s.key.clone()).collect(),
        rules: tables.metadata.rules.len(),
        decisions: tables.kernel.header.n_decisions,
        words: tables.kernel.words.len(),
        words_at_most: USABLE_WORDS,
    }
}

fn report(made: Made, kernel: KernelVersion, out: &mut Out) -> anyhow::Result<Exit> {
    if out.format() == Format::Json {
        let kernel = kernel.to_string();
        out.json(&Report { ok: true, kernel, gaps: Vec::new(), error: None, tables: Some(made) })?;
        return Ok(Exit::Done);
    }
    let used = made.words as f64 * 100.0 / made.words_at_most as f64;
    out.line(format_args!("tables    {} ({} bytes)", made.path.display(), made.bytes))?;
    out.line(format_args!("digest    {}", made.digest))?;
    out.line(format_args!("policy    {}, serial {}, for Linux {kernel} and newer", made.policy, made.serial))?;
    // The sentinel is Kiln's own.
    out.line(format_args!("subjects  {} with {} rules", made.subjects.len() - 1, made.rules))?;
    out.line(format_args!("room      {used:.1} % of the kernel's map is used"))?;
    Ok(Exit::Done)
}

fn refuse(error: CompileError, kernel: KernelVersion, out: &mut Out) -> anyhow::Result<Exit> {
    let message = error.to_string();
    let gaps = if let CompileError::Gaps(gaps) = error { gaps } else { Vec::new() };
    if out.format() == Format::Json {
        out.json(&Report { ok: false, kernel: kernel.to_string(), gaps, error: Some(message), tables: None })?;
        return Ok(Exit::Finding);
    }
    let label = if out.color() { "\x1b[1;31merror\x1b[0m" } else { "error" };
    for gap in &gaps {
        out.note(format_args!("{label}: {}", gap.reason));
        let place = gap.origin.as_ref().map_or_else(String::new, |origin| format!(" at {origin}"));
        out.note(format_args!("  in {}{place}", gap.block));
        if let Some(rule) = &gap.rule {
            out.note(format_args!("  rule: {rule}"));
        }
        out.note(format_args!("  mend: {}", gap.mend));
    }
    out.note(format_args!("{label}: {message}; no tables were written"));
    Ok(Exit::Finding)
}
