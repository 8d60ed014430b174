//! `kiln publish`.

use std::path::PathBuf;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::pos_args::PosArgs;
use super::sources::told;
use super::{Exit, Format, Out};
use crate::bundle::{Envelope, MAX_ENVELOPE, PolicyStatement, SigningKey};
use crate::compile::{Image, KernelVersion, Users};
use crate::model::Digest;
use crate::operator::Client;
use crate::prepare::{self, file::read_bounded};
use crate::wire::{AssignRequest, ImageView, MAX_TABLES, NewAssignment, PublishRequest, VersionView};

/// Example: kiln publish nginx.pdl --pos https://pos.example:8443 --key keys/policy.key
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The new version: PDL, or a tables file of `kiln compile`.
    file: PathBuf,
    #[command(flatten)]
    pos: PosArgs,
    /// The policy's secret key (PKCS#8 PEM); the images trust its public half. Not needed for tables that `kiln sign` signed: then the
    /// signature is read from beside them.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The image (sha256:…) whose instances get the version; can be given several times. Without it, all images with this policy's name
    /// that trust the key.
    #[arg(long, value_name = "DIGEST")]
    image: Vec<Digest>,
    /// Only this instance gets the version.
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// The version's serial, when PDL is given; without it, one more than the highest published.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    serial: Option<u64>,
    /// The policy's name. Without it, that of the signature or of --image, or the file's name up to
    /// the first dot.
    #[arg(long)]
    name: Option<String>,
    /// The oldest kernel that must enforce it, when PDL is given.
    #[arg(long, value_name = "VERSION", default_value_t = KernelVersion::BASELINE)]
    kernel: KernelVersion,
    /// Publish without assigning the version.
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
    let key = args.key.as_deref().map(SigningKey::read).transpose()?;
    let signed = if key.is_none() { Some(signature(&args)?) } else { None };
    let progress = out.progress("asking the POS for its images");
    let (name, images) = images(&args, &client, key.as_ref(), signed.as_ref().map(|(s, _)| s))?;
    let serial = match args.serial {
        Some(serial) => serial,
        None => 1 + client.versions()?.iter().filter(|v| v.name == name).map(|v| v.serial).max().unwrap_or(0),
    };
    progress.set_message("compiling the policy");
    let image = Image { users: &Users::default(), info: None };
    let policy = prepare::load(&args.file, serial, args.kernel, image).map_err(|error| told(error, out))?;
    let length = policy.tables.len();
    anyhow::ensure!(length <= MAX_TABLES, "the tables have {length} bytes; a POS takes at most {MAX_TABLES}");
    let (statement, envelope) = match (&key, signed) {
        (Some(key), _) => prepare::sign(&policy.tables, key, name)?,
        (None, Some(signed)) => signed,
        (None, None) => anyhow::bail!("--key is needed to sign the policy"),
    };
    statement.covers(&policy.tables)?;
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

/// The signature beside a tables file. What it says is only read here: the POS, and each machine, verifies it.
fn signature(args: &Args) -> anyhow::Result<(PolicyStatement, Envelope)> {
    let path = prepare::signature_path(&args.file);
    let bytes = read_bounded(&path, MAX_ENVELOPE as u64)
        .context("give --key to sign the policy, or tables with their signature (`kiln compile`, then `kiln sign`)")?;
    let envelope = Envelope::parse(&bytes).with_context(|| path.display().to_string())?;
    let unsigned = || format!("{} holds no policy statement", path.display());
    let json = serde_json::to_value(&envelope)?;
    let payload = json["payload"].as_str().and_then(|text| STANDARD.decode(text).ok()).with_context(unsigned)?;
    let statement = serde_json::from_slice(&payload).with_context(unsigned)?;
    Ok((statement, envelope))
}

/// The policy's name and the images that the version is for.
fn images(
    args: &Args,
    client: &Client,
    key: Option<&SigningKey>,
    signed: Option<&PolicyStatement>,
) -> anyhow::Result<(String, Vec<ImageView>)> {
    let all = client.images()?;
    let own = key.map(|key| key.public().key_id());
    let given = signed.map(|statement| statement.name.clone()).or_else(|| args.name.clone());
    if args.image.is_empty() {
        let name = given.map_or_else(|| prepare::name_of(&args.file), Ok)?;
        let fits = |i: &ImageView| i.policy_name == name && own.as_ref().is_none_or(|own| i.policy_keys.contains(own));
        let found: Vec<_> = all.into_iter().filter(fits).collect();
        let trusting = own.map(|own| format!(" and trusts the key {own}")).unwrap_or_default();
        anyhow::ensure!(
            !found.is_empty(),
            "no registered image has a policy `{name}`{trusting}; `kiln deploy` registers one, --name or --image choose another"
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
    let name = given.unwrap_or_else(|| found[0].policy_name.clone());
    if let Some(other) = found.iter().find(|i| i.policy_name != name) {
        anyhow::bail!("image {} has the policy `{}`, not `{name}`", other.image, other.policy_name);
    }
    Ok((name, found))
}
