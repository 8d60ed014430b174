//! `kiln sign`.

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use super::{Exit, Format, Out};
use crate::abi::tables::Tables;
use crate::bundle::{PolicyStatement, SigningKey, write_aside};
use crate::prepare;

/// Example: kiln sign nginx.tables --key keys/policy.key
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tables file that `kiln compile` wrote.
    tables: PathBuf,
    /// The policy's secret key (PKCS#8 PEM).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The policy's name; the same in all its versions. Without it, the file's name up to the first dot.
    #[arg(long)]
    name: Option<String>,
    /// Where the signature goes; without it, beside the tables with the ending .dsse.json.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Signed {
    signature: PathBuf,
    statement: PolicyStatement,
    key_id: String,
}

/// Signs the statement about a tables file.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let bytes = prepare::read_tables(&args.tables)?;
    prepare::proof::prove(&Tables::read(&bytes)?).with_context(|| args.tables.display().to_string())?;
    let key = SigningKey::read(&args.key)?;
    let name = args.name.map_or_else(|| prepare::name_of(&args.tables), Ok)?;
    let (statement, envelope) = prepare::sign(&bytes, &key, name)?;
    let path = args.output.unwrap_or_else(|| prepare::signature_path(&args.tables));
    write_aside(&path, envelope.to_json().as_bytes(), 0o644)?;
    let signed = Signed { signature: path, statement, key_id: key.public().key_id() };
    match out.format() {
        Format::Json => out.json(&signed)?,
        Format::Text => out.line(format_args!(
            "{}: `{}`, serial {}, tables {}",
            signed.signature.display(),
            signed.statement.name,
            signed.statement.serial,
            signed.statement.tables
        ))?,
    }
    Ok(Exit::Done)
}
