//! `kiln completions`.

use clap_complete::Shell;

use super::{Exit, Out};

/// Example: kiln completions bash > /etc/bash_completion.d/kiln
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to write for.
    shell: Shell,
}

/// Prints the script for `command`, the whole program.
pub fn run(args: Args, mut command: clap::Command, out: &mut Out) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "kiln", &mut script);
    out.raw(&script)?;
    Ok(Exit::Done)
}
