//! `kiln publish`.

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use super::pos_args::PosArgs;
use super::{Exit, Format, Out, policy_file, sign};
use crate::bundle::SigningKey;
use crate::compile::KernelVersion;
use crate::model::Digest;
use crate::registry::Client;
use crate::wire::{AssignRequest, ImageView, MAX_TABLES, NewAssignment, PublishRequest, VersionView};

/// Example: kiln publish nginx.pdl --pos https://pos.example:8443 --key keys/policy.key
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The new version: PDL, or a tables file of `kiln compile`.
    file: PathBuf,
    #[command(flatten)]
    pos: PosArgs,
    /// The policy's secret key (PKCS#8 PEM); the images trust its public half.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The image (sha256:…) whose instances get the version; may be given several times. Without it, all images with this policy's name
    /// that trust the key.
    #[arg(long, value_name = "DIGEST")]
    image: Vec<Digest>,
    /// Only this instance gets the version.
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// The version's serial, when PDL is given; without it, one more than the highest published.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    serial: Option<u64>,
    /// The policy's name. Without it, that of --image, or the file's name up to the first dot.
    #[arg(long)]
    name: Option<String>,
    /// The oldest kernel that must enforce it, when PDL is given.
    #[arg(long, value_name = "VERSION", default_value_t = KernelVersion::BASELINE)]
    kernel: KernelVersion,
    /// Publish, and assign to nobody.
    #[arg(long, conflicts_with = "instance")]
    no_assign: bool,
}

#[derive(Serialize)]
struct Published {
    version: VersionView,
    images: Vec<Digest>,
    assigned: Vec<NewAssignment>,
    unchanged: Vec<String>,
}

/// Compiles, signs, publishes and assigns a version.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let (client, _) = args.pos.client()?;
    let key = SigningKey::read(&args.key)?;
    let progress = out.progress("asking the POS for its images");
    let (name, images) = images(&args, &client, &key)?;
    let serial = match args.serial {
        Some(serial) => serial,
        None => 1 + client.versions()?.iter().filter(|v| v.name == name).map(|v| v.serial).max().unwrap_or(0),
    };
    progress.set_message("compiling the policy");
    let policy = policy_file::load(&args.file, serial, args.kernel, out)?;
    let length = policy.tables.len();
    anyhow::ensure!(length <= MAX_TABLES, "the tables have {length} bytes; a POS takes at most {MAX_TABLES}");
    let (statement, envelope) = sign::sign(&policy.tables, &key, name)?;
    if let Some(asked) = args.serial.filter(|asked| *asked != statement.serial) {
        let (file, found) = (args.file.display(), statement.serial);
        anyhow::bail!("{file} was compiled as serial {found}, not {asked}; compile it with --serial {asked}");
    }
    progress.set_message("publishing");
    client.put_tables(&policy.tables)?;
    let mut version = None;
    for image in &images {
        // Each image's own keys must verify it.
        version = Some(client.publish(&PublishRequest { image: image.image, statement: envelope.clone() })?);
    }
    let version = version.context("no image to publish for")?;
    let mut published = Published {
        version,
        images: images.iter().map(|i| i.image).collect(),
        assigned: Vec::new(),
        unchanged: Vec::new(),
    };
    let to = |image: Option<Digest>| AssignRequest {
        image,
        instance: args.instance.clone(),
        name: statement.name.clone(),
        serial: statement.serial,
    };
    let requests = match (&args.instance, args.no_assign) {
        (_, true) => Vec::new(),
        (Some(_), _) => vec![to(None)],
        (None, _) => images.iter().map(|image| to(Some(image.image))).collect(),
    };
    for request in requests {
        let done = client.assign(&request)?;
        published.assigned.extend(done.assigned);
        published.unchanged.extend(done.unchanged);
    }
    progress.finish_and_clear();
    match out.format() {
        Format::Json => out.json(&published)?,
        Format::Text => {
            let version = &published.version;
            out.line(format_args!(
                "published  `{}`, serial {}, tables {}",
                version.name, version.serial, version.tables
            ))?;
            for new in &published.assigned {
                out.line(format_args!("assigned   {} (sequence {})", new.instance, new.sequence))?;
            }
            for same in &published.unchanged {
                out.line(format_args!("unchanged  {same}"))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// The policy's name and the images that the version is for.
fn images(args: &Args, client: &Client, key: &SigningKey) -> anyhow::Result<(String, Vec<ImageView>)> {
    let all = client.images()?;
    let own = key.public().key_id();
    if args.image.is_empty() {
        let name = args.name.clone().map_or_else(|| sign::name_of(&args.file), Ok)?;
        let found: Vec<_> = all.into_iter().filter(|i| i.policy_name == name && i.policy_keys.contains(&own)).collect();
        anyhow::ensure!(
            !found.is_empty(),
            "no registered image has a policy `{name}` and trusts the key {own}; see `kiln status`, or give --image or --name"
        );
        return Ok((name, found));
    }
    let mut found = Vec::new();
    for digest in &args.image {
        let image = all.iter().find(|i| i.image == *digest);
        found.push(
            image.with_context(|| format!("image {digest} is not registered; `kiln deploy` registers it"))?.clone(),
        );
    }
    let name = args.name.clone().unwrap_or_else(|| found[0].policy_name.clone());
    if let Some(other) = found.iter().find(|i| i.policy_name != name) {
        anyhow::bail!("image {} has the policy `{}`, not `{name}`", other.image, other.policy_name);
    }
    Ok((name, found))
}
