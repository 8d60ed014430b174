//! `kiln sign`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::{Exit, Format, Out};
use crate::abi::tables::Tables;
use crate::bundle::{Envelope, PolicyStatement, SigningKey, write_aside};

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
    let bytes = read_tables(&args.tables)?;
    super::proof::prove(&Tables::read(&bytes)?).with_context(|| args.tables.display().to_string())?;
    let key = SigningKey::read(&args.key)?;
    let name = args.name.map_or_else(|| name_of(&args.tables), Ok)?;
    let (statement, envelope) = sign(&bytes, &key, name)?;
    let path = args.output.unwrap_or_else(|| signature_path(&args.tables));
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

/// The statement about a tables file, and its signature.
pub(super) fn sign(bytes: &[u8], key: &SigningKey, name: String) -> anyhow::Result<(PolicyStatement, Envelope)> {
    let metadata = Tables::read(bytes)?.metadata;
    anyhow::ensure!(metadata.serial > 0, "the tables have serial 0; compile them with --serial 1 or higher");
    let statement =
        PolicyStatement { policy: metadata.policy, tables: Tables::digest(bytes), serial: metadata.serial, name };
    let envelope = statement.sign(key);
    Ok((statement, envelope))
}

/// Reads a tables file, no more of it than one can have.
pub(super) fn read_tables(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_bounded(path, crate::abi::tables::MAX_FILE as u64)
}

/// Reads a file of at most `most` bytes.
pub(super) fn read_bounded(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(bytes.len() as u64 <= most, "{} has more than {most} bytes", path.display());
    Ok(bytes)
}

/// `nginx` of `out/nginx.v2.tables`.
pub(super) fn name_of(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.split('.').next()).filter(|n| !n.is_empty());
    name.map(str::to_owned).with_context(|| format!("{} gives no policy name; say one with --name", path.display()))
}

/// Where a tables file's signature is looked for.
pub(super) fn signature_path(tables: &Path) -> PathBuf {
    tables.with_extension("dsse.json")
}
