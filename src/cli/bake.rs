//! `kiln bake`.

use std::path::PathBuf;

use super::sources::told;
use super::{Exit, Format, Out};
use crate::bake::Report;
use crate::prepare::{KernelFrom, PrepareError, Request};

/// Example: kiln bake rootfs --policy nginx.pdl --key keys/policy.key --trust keys
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The root file system directory, or the raw disk image (GPT with an ext4 root, or a bare ext4).
    target: PathBuf,
    /// The policy: PDL, or a tables file of `kiln compile` with its signature beside it.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Write the baked image here and leave TARGET as it is.
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,
    /// The policy's secret key, to sign with. Not needed for tables that are signed already.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A folder whose policy*.pub, pos*.pub and pos-ca.pem the image trusts; can be given several times. Without it, the
    /// public half of --key.
    #[arg(long, value_name = "DIR")]
    trust: Vec<PathBuf>,
    /// The agent's static binary; without it, kiln-agent beside this program.
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Address of the POS, https://HOST:PORT. Without it the machine learns it from its join credential.
    #[arg(long, value_name = "URL")]
    pos: Option<String>,
    /// Let no operator put a unit of this image into audit mode (`kiln-agent audit`).
    #[arg(long)]
    forbid_audit: bool,
    /// The policy's serial, when PDL is given; higher for each version.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    serial: u64,
    /// The policy's name; the same in all its versions. Without it, the file's name up to the first dot.
    #[arg(long)]
    name: Option<String>,
    /// The source to bake along with a tables file.
    #[arg(long, value_name = "PDL")]
    source: Option<PathBuf>,
    /// Judge this kernel configuration (named config-RELEASE) instead of those in the image.
    #[arg(long, value_name = "FILE", conflicts_with = "no_kernel_check")]
    kernel_config: Option<PathBuf>,
    /// Do not check whether the image's kernel can enforce.
    #[arg(long)]
    no_kernel_check: bool,
    /// Only warn when the policy confines a unit or a program that the image does not have.
    #[arg(long)]
    allow_missing_units: bool,
    /// Only warn when the `lsm=` boot parameter is needed and the image has no place for it.
    #[arg(long)]
    boot_parameter_elsewhere: bool,
    /// The root partition's number, where a disk has several candidates.
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
}

/// Bakes an image.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let progress = out.progress("compiling the policy");
    let baking = format!("baking {}", args.target.display());
    let ready = args.request().prepare().map_err(|error| match error {
        PrepareError::Policy(error) => told(error, out),
        error => error.into(),
    })?;
    progress.set_message(baking);
    let report = ready.bake()?;
    progress.finish_and_clear();
    report.warnings.iter().for_each(|w| out.note(format_args!("warning: {w}")));
    match out.format() {
        Format::Json => out.json(&report)?,
        Format::Text => print(&report, out)?,
    }
    Ok(Exit::Done)
}

impl Args {
    fn request(self) -> Request {
        Request {
            target: self.target,
            output: self.output,
            policy: self.policy,
            key: self.key,
            trust: self.trust,
            agent: self.agent,
            pos: self.pos,
            forbid_audit: self.forbid_audit,
            serial: self.serial,
            name: self.name,
            source: self.source,
            kernel: match self.kernel_config {
                Some(path) => KernelFrom::File(path),
                None if self.no_kernel_check => KernelFrom::Nowhere,
                None => KernelFrom::Image,
            },
            allow_missing_units: self.allow_missing_units,
            boot_parameter_elsewhere: self.boot_parameter_elsewhere,
            partition: self.partition,
            source_date_epoch: std::env::var("SOURCE_DATE_EPOCH").ok(),
        }
    }
}

fn print(report: &Report, out: &mut Out) -> std::io::Result<()> {
    for path in &report.written {
        out.line(format_args!("wrote   {path}"))?;
    }
    for path in &report.removed {
        out.line(format_args!("removed {path}"))?;
    }
    for edit in &report.boot {
        out.line(format_args!("boot    {}: added {}", edit.file, edit.parameter))?;
    }
    if !report.kernels.is_empty() {
        let boot =
            if !report.boot_parameter { "BTF, BPF LSM active by default" } else { "BTF, BPF LSM by boot parameter" };
        out.line(format_args!("kernel  {}: {boot}", report.kernels.join(", ")))?;
    }
    if !report.units.is_empty() {
        out.line(format_args!("confines {}", report.units.join(", ")))?;
    }
    let changes = match report.written.len() + report.removed.len() {
        0 => "nothing to change".to_owned(),
        n => format!("{n} changes"),
    };
    let (target, image) = (report.target.display(), report.image);
    out.line(format_args!("{target}: policy serial {}, {changes}, image {image}", report.serial))
}
