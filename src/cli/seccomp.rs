//! `kiln seccomp`.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::sources::{REFUSED, load};
use super::{Exit, Out};
use crate::bundle::write_aside;
use crate::compile;
use crate::model::BlockKind;
use crate::policy::normal::Policy;
use crate::seccomp::{self, Arch};

const EXAMPLES: &str = "Examples:
  kiln seccomp app.pdl --profile app --as oci -o app.json && podman run --security-opt seccomp=app.json IMAGE
  kiln seccomp app.pdl --profile app --guard fleet --as bpf -o app.bpf";

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// The seccomp profile of an OCI runtime, of podman and of docker (JSON).
    Oci,
    /// A program for seccomp(2): an array of `struct sock_filter`, little-endian.
    Bpf,
}

/// Print what a policy says of system calls as a filter for whoever starts the program.
///
/// The filter is what the named blocks say together, whatever their subjects. For the units of an image `kiln bake` does
/// it. Exit code 1 if a filter cannot do what the rules say.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The files of the policy.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The profile.
    #[arg(long, value_name = "NAME", required_unless_present = "guards")]
    profile: Option<String>,
    /// A guard that binds the program, too. Can be repeated.
    #[arg(long = "guard", value_name = "NAME")]
    guards: Vec<String>,
    /// The form.
    #[arg(long = "as", value_enum)]
    form: Form,
    /// The processor: x86-64 or aarch64.
    #[arg(long, default_value_t = Arch::NATIVE)]
    arch: Arch,
    /// Write here instead of to standard output.
    #[arg(short, long, value_name = "OUTPUT")]
    output: Option<PathBuf>,
}

/// Prints or writes the filter.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let Some(loaded) = load(&args.files, out)? else { return REFUSED };
    let policy = &loaded.policy;
    let profile = args.profile.iter().map(|name| block(policy, BlockKind::Profile, name));
    let guards = args.guards.iter().map(|name| block(policy, BlockKind::Guard, name));
    let mut blocks = profile.chain(guards).collect::<anyhow::Result<Vec<usize>>>()?;
    blocks.sort_unstable();
    blocks.dedup();
    let filter = match compile::call_filter(policy, &blocks) {
        Ok(Some(filter)) => filter,
        Ok(None) => bail!("these blocks refuse and report no system call; write rules on `syscall`"),
        Err(gaps) => {
            for gap in gaps {
                let place = gap.origin.map_or_else(String::new, |origin| format!(" at {origin}"));
                out.note(format_args!("error: {}\n  in {}{place}\n  mend: {}", gap.reason, gap.block, gap.mend));
            }
            return Ok(Exit::Finding);
        }
    };
    let bytes = match args.form {
        Form::Oci => format!("{:#}\n", seccomp::oci(&filter, args.arch)).into_bytes(),
        Form::Bpf => seccomp::bytes(&seccomp::program(&filter, args.arch)),
    };
    match &args.output {
        Some(path) => write_aside(path, &bytes, 0o644).with_context(|| format!("cannot write {}", path.display()))?,
        None => out.raw(&bytes)?,
    }
    Ok(Exit::Done)
}

fn block(policy: &Policy, kind: BlockKind, name: &str) -> anyhow::Result<usize> {
    let found = policy.blocks.iter().position(|b| b.kind == kind && b.name == name);
    found.with_context(|| format!("the policy has no {kind} `{name}`"))
}
