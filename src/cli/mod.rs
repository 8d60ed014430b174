//! The commands of `kiln`, one file each; the only code that prints. `anyhow` stays within this module.

mod bake;
mod check;
mod compile;
mod completions;
mod deploy;
mod derive;
mod eval;
mod expand;
mod fmt;
mod gate;
mod keygen;
pub mod out;
mod pos_args;
mod publish;
mod seccomp;
mod sign;
pub mod sources;
mod status;
mod tighten;
mod violations;

use clap::{CommandFactory, Parser, Subcommand};

pub use out::{Exit, Format, Out};

/// Bakes kernel-enforced runtime policy into machine images.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Shape::Text)]
    format: Shape,
}

/// The choices of `--format`: those of every command, and one that only the gate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shape {
    /// For people.
    Text,
    /// For machines: JSON on standard output.
    Json,
    /// OCSF Detection Findings (`kiln gate` only).
    Ocsf,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 a finding or a denial; 2 wrong usage or bad input; more in docs/exit-codes.md.";

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Fmt(fmt::Args),
    Expand(expand::Args),
    Eval(eval::Args),
    /// Put agent, policy, keys and units into a root file system or a raw disk image.
    Bake(bake::Args),
    /// Sign a compiled policy.
    Sign(sign::Args),
    /// Prove that a policy is a subset of the build's, and sign it to stand in for that for a time.
    Tighten(tighten::Args),
    /// Compile a policy to the tables that the kernel reads.
    Compile(compile::Args),
    Seccomp(seccomp::Args),
    /// Derive a policy from what an image declares.
    Derive(derive::Args),
    /// Register a baked image with a POS and issue a join token for a machine.
    Deploy(deploy::Args),
    /// Sign and publish a new version of a policy, and assign it.
    Publish(publish::Args),
    /// Show what is assigned and what is enforced by evidence.
    Status(status::Args),
    /// List what the kernels of the machines refused, or follow it.
    Violations(violations::Args),
    /// Make a key pair that signs policies.
    Keygen(keygen::Args),
    /// Print a shell completion script.
    Completions(completions::Args),
    Gate(gate::Args),
}

/// Runs the command line of this process and returns its exit code.
pub fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let mut out = Out::new(if cli.format == Shape::Text { Format::Text } else { Format::Json });
    let has_ocsf = matches!(cli.command, Command::Gate(_));
    if cli.format == Shape::Ocsf && !has_ocsf {
        let message = "--format ocsf is for kiln gate; use text or json".to_owned();
        return out.finish(Err(out::Fail { code: 2, message }.into()));
    }
    let result = match cli.command {
        Command::Check(args) => check::run(args, &mut out),
        Command::Fmt(args) => fmt::run(args, &mut out),
        Command::Expand(args) => expand::run(args, &mut out),
        Command::Eval(args) => eval::run(args, &mut out),
        Command::Bake(args) => bake::run(args, &mut out),
        Command::Sign(args) => sign::run(args, &mut out),
        Command::Tighten(args) => tighten::run(args, &mut out),
        Command::Compile(args) => compile::run(args, &mut out),
        Command::Seccomp(args) => seccomp::run(args, &mut out),
        Command::Derive(args) => derive::run(args, &mut out),
        Command::Deploy(args) => deploy::run(args, &mut out),
        Command::Publish(args) => publish::run(args, &mut out),
        Command::Status(args) => status::run(args, &mut out),
        Command::Violations(args) => violations::run(args, &mut out),
        Command::Keygen(args) => keygen::run(args, &mut out),
        Command::Completions(args) => completions::run(args, Cli::command(), &mut out),
        Command::Gate(args) => gate::run(args, cli.format == Shape::Ocsf, &mut out),
    };
    out.finish(result)
}
