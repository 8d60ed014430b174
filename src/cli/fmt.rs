//! `kiln fmt`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::sources::{REFUSED, Report, read};
use super::{Exit, Format, Out};
use crate::bundle::write_aside;
use crate::pdl::{Diagnostics, Source, format};

/// Bring policies into the canonical layout, comments kept.
///
/// Files are replaced whole or not at all; `-` is standard input, written to standard output. Exit code 1 with
/// --check if a file would change, 2 if one has syntax errors.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: kiln fmt nginx.pdl\n         kiln fmt --check policies/*.pdl")]
pub struct Args {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Change nothing; end with 1 if something would change.
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
struct Formatted {
    changed: Vec<String>,
    unchanged: Vec<String>,
    refused: Vec<Report>,
}

/// Formats each file.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let mut result = Formatted { changed: Vec::new(), unchanged: Vec::new(), refused: Vec::new() };
    // All are read before one is written: a wrong name changes nothing.
    let sources = args.files.iter().map(|f| read(f)).collect::<anyhow::Result<Vec<_>>>()?;
    for (path, source) in args.files.iter().zip(&sources) {
        let text = match format(&source.text) {
            Ok(text) => text,
            Err(errors) => {
                let mut found = Diagnostics::default();
                found.sources.push(source.clone());
                found.extend(errors);
                if out.format() == Format::Text {
                    out.note(found.render(out.color()).trim_end());
                }
                result.refused.push(Report::new(&found));
                continue;
            }
        };
        one(path, source, &text, args.check, &mut result, out)?;
    }
    let exit = match (&result.refused[..], args.check && !result.changed.is_empty()) {
        ([], false) => Ok(Exit::Done),
        ([], true) => Ok(Exit::Finding),
        _ => REFUSED,
    };
    if out.format() == Format::Json {
        out.json(&result)?;
    }
    exit
}

fn one(
    path: &Path,
    source: &Source,
    text: &str,
    check: bool,
    result: &mut Formatted,
    out: &mut Out,
) -> anyhow::Result<()> {
    let name = source.name.to_string();
    let stdin = path.as_os_str() == "-";
    let changed = *text != *source.text;
    if stdin && !check && out.format() == Format::Text {
        out.raw(text.as_bytes())?;
    }
    if changed && !stdin {
        if check && out.format() == Format::Text {
            out.line(format!("{name} is not in canonical layout"))?;
        }
        if !check {
            // Through a symlink the file is meant, not the link.
            let target = path.canonicalize().with_context(|| format!("cannot find {name}"))?;
            let mode = target.metadata().with_context(|| format!("cannot read {name}"))?.permissions().mode() & 0o7777;
            write_aside(&target, text.as_bytes(), mode)?;
            if out.format() == Format::Text {
                out.line(format!("formatted {name}"))?;
            }
        }
    }
    if changed {
        result.changed.push(name)
    } else {
        result.unchanged.push(name)
    }
    Ok(())
}
