//! `kiln deploy`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::pos_args::PosArgs;
use super::{Exit, Format, Out};
use crate::bake::layout;
use crate::bundle::write_aside;
use crate::model::Digest;
use crate::operator::BakedImage;
use crate::wire::{JOIN_SCHEMA, JoinCredential};

/// Example: kiln deploy disk.raw --pos https://pos.example:8443 --join-out web1.join
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The baked image: root file system directory or raw disk.
    target: PathBuf,
    #[command(flatten)]
    pos: PosArgs,
    /// The image's name, for people; without it, the target's file name.
    #[arg(long)]
    name: Option<String>,
    /// Write the join credential to this file (mode 0600) instead of printing it.
    #[arg(long, visible_alias = "credential", value_name = "FILE")]
    join_out: Option<PathBuf>,
    /// The address at which the machine reaches the POS, if it is not that of --pos (QEMU's user network: https://10.0.2.2:8443).
    #[arg(long, visible_alias = "guest-pos", value_name = "URL")]
    agent_url: Option<String>,
    /// Seconds for which the join token can be used.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(60..=604_800))]
    ttl: u64,
    /// Only register the image; issue no join token.
    #[arg(long, conflicts_with = "join_out")]
    no_token: bool,
    /// The root partition's number, where a disk has several candidates.
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
}

#[derive(Serialize)]
struct Deployed {
    image: Digest,
    name: String,
    policy_name: String,
    serial: u64,
    tables: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<Join>,
}

#[derive(Serialize)]
struct Join {
    token_id: u64,
    expires: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// Absent where it went to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<JoinCredential>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smbios: Option<String>,
}

/// Registers an image and issues a join token for one machine.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let (client, credentials) = args.pos.client()?;
    let progress = out.progress("reading the image");
    let image = BakedImage::read(&args.target, args.partition)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => target_name(&args.target).context("the target's name does not serve as the image's; give --name")?,
    };
    let (request, statement) = image.registration(layout::LIB, &name, credentials.ca())?;
    progress.set_message("registering the image");
    client.put_tables(&image.tables)?;
    let view = client.register(&request)?;
    let mut deployed = Deployed {
        image: view.image,
        name: view.name,
        policy_name: view.policy_name,
        serial: view.baked_serial,
        tables: statement.tables,
        join: None,
    };
    if !args.no_token {
        let issued = client.token(view.image, args.ttl)?;
        let pos = args.agent_url.as_deref().unwrap_or(client.base()).to_owned();
        let credential = JoinCredential { schema: JOIN_SCHEMA.to_owned(), pos: Some(pos), token: issued.token };
        let text = serde_json::to_string(&credential)?;
        let mut join =
            Join { token_id: issued.id, expires: issued.expires, file: None, credential: None, smbios: None };
        match args.join_out {
            Some(path) => {
                write_aside(&path, format!("{text}\n").as_bytes(), 0o600)?;
                join.file = Some(path);
            }
            None => {
                join.smbios = Some(smbios(&STANDARD.encode(&text)));
                join.credential = Some(credential);
            }
        }
        deployed.join = Some(join);
    }
    progress.finish_and_clear();
    match out.format() {
        Format::Json => out.json(&deployed)?,
        Format::Text => print(&deployed, out)?,
    }
    Ok(Exit::Done)
}

fn smbios(base64: &str) -> String {
    format!("type=11,value=io.systemd.credential.binary:kiln.join={base64}")
}

fn print(deployed: &Deployed, out: &mut Out) -> anyhow::Result<()> {
    let Deployed { image, name, policy_name, serial, .. } = deployed;
    out.line(format_args!("image   {image} ({name})"))?;
    out.line(format_args!("policy  {policy_name}, serial {serial}"))?;
    let Some(join) = &deployed.join else { return Ok(()) };
    out.line(format_args!("token   {}, for one machine, until {}", join.token_id, join.expires))?;
    out.line("The machine takes it as the systemd credential kiln.join:")?;
    match (&join.file, &join.smbios, &join.credential) {
        (Some(file), ..) => {
            let file = file.display();
            out.line(format_args!("  QEMU            -smbios {}", smbios(&format!("$(base64 -w0 {file})"))))?;
            out.line(format_args!("  systemd-nspawn  --load-credential=kiln.join:{file}"))?;
        }
        (None, Some(smbios), Some(credential)) => {
            out.line(format_args!("  QEMU            -smbios {smbios}"))?;
            let text = serde_json::to_string(credential)?;
            out.line(format_args!("  systemd-nspawn  --set-credential=kiln.join:'{text}'"))?;
        }
        _ => {}
    }
    Ok(())
}

fn target_name(target: &Path) -> Option<String> {
    let full = target.canonicalize().ok()?;
    full.file_name().and_then(|n| n.to_str()).map(str::to_owned)
}
