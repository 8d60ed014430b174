//! `kiln gate release`.

use std::path::PathBuf;

use super::super::{Exit, Format, Out};
use crate::gate::enforce::release;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The process's key, as in a verdict's process_key.
    #[arg(value_name = "KEY")]
    key: String,
    /// Where the gate keeps evidence and records.
    #[arg(long, value_name = "DIR", default_value = "/var/quarantine/scbe")]
    quarantine_dir: PathBuf,
}

pub fn run(args: &Args, out: &mut Out) -> anyhow::Result<Exit> {
    let released = release(&args.quarantine_dir, &args.key)?;
    match out.format() {
        Format::Json => out.json(&released)?,
        Format::Text => {
            for detail in &released.details {
                out.line(detail)?;
            }
            if released.details.is_empty() && released.failures.is_empty() {
                out.line(format!("{} was released before", released.key))?;
            }
        }
    }
    for failure in &released.failures {
        out.note(failure);
    }
    Ok(if released.failures.is_empty() { Exit::Done } else { Exit::Code(3) })
}
