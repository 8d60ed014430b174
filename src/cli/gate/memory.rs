//! `kiln gate state`, and the file behind it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::super::{Exit, Format, Out};
use crate::gate::engine::graded::Memory;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The state file.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Show at most so many processes; 0 shows all that are kept by name.
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
}

/// Reads the state; one that is not there yet is empty.
pub fn load(path: &Path, capacity: usize) -> anyhow::Result<Memory> {
    match fs::read(path) {
        Ok(bytes) => Memory::load_state(&bytes, capacity).with_context(|| format!("cannot use {}", path.display())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Memory::with_capacity(capacity)),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes the state aside and renames it.
pub fn save(memory: &Memory, path: &Path) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    let mut file = BufWriter::new(File::create(&aside)?);
    memory.save(&mut file)?;
    file.flush()?;
    file.get_ref().sync_data()?;
    fs::rename(aside, path)
}

pub fn run(args: &Args, out: &mut Out) -> anyhow::Result<Exit> {
    let bytes = fs::read(&args.state).with_context(|| format!("cannot read {}", args.state.display()))?;
    let memory =
        Memory::load_state(&bytes, usize::MAX).with_context(|| format!("cannot use {}", args.state.display()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as u32);
    let mut dangerous = memory.dangerous(now);
    if args.top > 0 {
        dangerous.truncate(args.top);
    }
    match out.format() {
        Format::Json => out.json(&serde_json::json!({ "entries": memory.len(), "dangerous": dangerous }))?,
        Format::Text => {
            out.line(format!("{} processes and tissues are remembered", memory.len()))?;
            for process in &dangerous {
                let (load, state, action) = (process.load, process.state.as_str(), process.action.as_str());
                out.line(format!("{load:.4} {state:8} {action:10} {}", process.key))?;
            }
        }
    }
    Ok(Exit::Done)
}
