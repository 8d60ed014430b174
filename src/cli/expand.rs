//! `kiln expand`.

use std::path::PathBuf;

use super::sources::{REFUSED, load};
use super::{Exit, Format, Out};
use crate::policy::{json, to_pdl};

/// Print the flat form of a policy: no imports, lets or abstractions.
///
/// As PDL, or with --format json in the JSON form that docs/pdl.schema.json describes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: kiln expand nginx.pdl\n         kiln expand nginx.pdl --format json > nginx.json\n         kiln expand --json-input nginx.json"
)]
pub struct Args {
    /// The file; `-` is standard input.
    #[arg(required_unless_present = "schema", value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file is in the JSON form.
    #[arg(long)]
    json_input: bool,
    /// Print the schema of the JSON form instead.
    #[arg(long, conflicts_with_all = ["file", "json_input"])]
    schema: bool,
}

/// Prints the flat form.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let Some(file) = args.file.filter(|_| !args.schema) else {
        out.json(&json::schema())?;
        return Ok(Exit::Done);
    };
    let policy = if args.json_input {
        use anyhow::Context;
        let bytes = bounded(&file).with_context(|| format!("cannot read {}", file.display()))?;
        json::read(&bytes)?
    } else {
        match load(&[file], out)? {
            Some(loaded) => loaded.policy,
            None => return REFUSED,
        }
    };
    match out.format() {
        Format::Json => out.json(&json::document(&policy))?,
        Format::Text => out.raw(to_pdl(&policy).as_bytes())?,
    }
    Ok(Exit::Done)
}

/// The file's bytes, one more than can be read at most.
fn bounded(file: &PathBuf) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(json::MAX_JSON as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
