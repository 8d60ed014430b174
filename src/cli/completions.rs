//! `kiln completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Exit, Out};

/// Example: kiln completions bash > /etc/bash_completion.d/kiln
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to write for.
    shell: Shell,
}

/// Prints the script.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kiln", &mut script);
    out.raw(&script)?;
    Ok(Exit::Done)
}
