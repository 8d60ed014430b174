//! `kiln tighten`.

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use super::{Exit, Format, Out};
use crate::abi::Tables;
use crate::abi::subset;
use crate::bundle::{SigningKey, Tightening, write_aside};
use crate::prepare;

/// Example: kiln tighten strict.tables --base nginx.tables --key keys/tighten.key --number 1 --expires 2027-01-31T12:00:00Z
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tables of the tightened policy, compiled with the serial of the build's.
    tables: PathBuf,
    /// The tables of the build's policy, in the place of which it is to be enforced.
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    /// A secret key whose public half the image trusts as tighten*.pub. Without it nothing is signed.
    #[arg(long, value_name = "FILE", requires_all = ["number", "expires"])]
    key: Option<PathBuf>,
    /// Its number: higher than that of any tightening of this serial before.
    #[arg(long)]
    number: Option<u64>,
    /// When the build's own policy is enforced again.
    #[arg(long, value_name = "TIME")]
    expires: Option<jiff::Timestamp>,
    /// The policy's name. Without it, the file's name up to the first dot.
    #[arg(long)]
    name: Option<String>,
    /// Where the signature goes; without it, beside the tables with the ending .dsse.json.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    subset: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    wider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<Tightening>,
}

/// Proves that a policy is a subset of another, as the agent does, and signs it; exit code 1 if it is not.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let (bytes, base) = (prepare::read_tables(&args.tables)?, prepare::read_tables(&args.base)?);
    let read = |bytes: &[u8], path: &PathBuf| Tables::read(bytes).with_context(|| path.display().to_string());
    let (tables, build) = (read(&bytes, &args.tables)?, read(&base, &args.base)?);
    prepare::proof::prove(&tables).with_context(|| args.tables.display().to_string())?;
    let (serial, of_base) = (tables.metadata.serial, build.metadata.serial);
    anyhow::ensure!(
        serial == of_base,
        "{} has serial {serial}, and {} has {of_base}; compile it with --serial {of_base}",
        args.tables.display(),
        args.base.display()
    );
    if let Err(wider) = subset::prove(&build, &tables, []) {
        match out.format() {
            Format::Json => {
                let wider = Some(wider.to_string());
                out.json(&Report { subset: false, wider, signature: None, statement: None })?;
            }
            Format::Text => out.note(format_args!("not a subset: {wider}")),
        }
        return Ok(Exit::Finding);
    }
    let mut report = Report { subset: true, wider: None, signature: None, statement: None };
    if let (Some(key), Some(number), Some(expires)) = (&args.key, args.number, args.expires) {
        let name = args.name.map_or_else(|| prepare::name_of(&args.tables), Ok)?;
        let statement = Tightening {
            policy: tables.metadata.policy,
            tables: Tables::digest(&bytes),
            base: Tables::digest(&base),
            serial,
            number,
            expires: u64::try_from(expires.as_second()).context("the time is before 1970")?,
            name,
        };
        statement.in_range()?;
        anyhow::ensure!(number > 0, "--number counts from 1");
        let path = args.output.unwrap_or_else(|| prepare::signature_path(&args.tables));
        write_aside(&path, statement.sign(&SigningKey::read(key)?).to_json().as_bytes(), 0o644)?;
        (report.signature, report.statement) = (Some(path), Some(statement));
    }
    match out.format() {
        Format::Json => out.json(&report)?,
        Format::Text => {
            out.line(format_args!("{} permits nothing that {} refuses", args.tables.display(), args.base.display()))?;
            if let (Some(path), Some(s)) = (&report.signature, &report.statement) {
                let until = crate::window::text(i64::try_from(s.expires).unwrap_or(i64::MAX));
                out.line(format_args!(
                    "{}: `{}`, tightening {} of serial {}, until {until}",
                    path.display(),
                    s.name,
                    s.number,
                    s.serial
                ))?;
            }
        }
    }
    Ok(Exit::Done)
}
