//! `kiln bake`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::policy_file::{self, PolicyFile};
use super::selector::{self, Selector};
use super::sign::read_bounded;
use super::{Exit, Format, Out};
use crate::bake::{self, KernelCheck, Options, Payload, Report, UnitSelector};
use crate::bundle::{Envelope, PolicyStatement, PublicKey, SigningKey, TrustedKeys, open_file};

/// Example: kiln bake rootfs --policy nginx.pdl --key keys/policy.key --trust keys
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The root file system directory, or the raw disk image (GPT with an ext4 root, or a bare ext4).
    target: PathBuf,
    /// The policy: PDL, or a tables file of `kiln compile` with its signature beside it.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Leave TARGET alone and write the baked image here.
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,
    /// The policy's secret key, to sign with. Not needed for tables that are signed already.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A folder whose policy*.pub, pos*.pub and pos-ca.pem the image trusts; may be given several times. Without it, the
    /// public half of --key.
    #[arg(long, value_name = "DIR")]
    trust: Vec<PathBuf>,
    /// The agent's static binary; without it, kiln-agent beside this program.
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Address of the POS, https://HOST:PORT. Without it the machine learns it from its join credential.
    #[arg(long, value_name = "URL")]
    pos: Option<String>,
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
    /// Do not ask whether the image's kernel can enforce.
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

/// Largest agent: the static one has 2 to 8 MiB.
const AGENT_MAX: u64 = 64 << 20;
/// Largest file of a trust folder.
const TRUST_MAX: u64 = 64 << 10;

/// Bakes an image.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let progress = out.progress("compiling the policy");
    let name = args.name.clone().map_or_else(|| super::sign::name_of(&args.policy), Ok)?;
    let policy = {
        let kernel = policy_file::oldest_kernel(&args.target, args.partition);
        policy_file::load(&args.policy, args.serial, kernel, out)?
    };
    let key = args.key.as_deref().map(SigningKey::read).transpose()?;
    let trust = trust_files(&args.trust, key.as_ref())?;
    let (envelope, statement) = signature(&args, &policy, key.as_ref(), name, &trust)?;
    let agent_path = agent_path(args.agent.as_deref())?;
    let agent = read_bounded(&agent_path, AGENT_MAX)?;
    let source = match (&policy.source, &args.source) {
        (Some(text), None) => Some(text.clone()),
        (Some(_), Some(_)) => {
            anyhow::bail!("--source goes with a tables file; {} is the source", args.policy.display())
        }
        (None, Some(path)) => Some(policy_file::source_of(&policy.tables, path, out)?),
        (None, None) => None,
    };
    let selectors = Selector::all(&policy.tables)?;
    let programs = selector::programs(&policy.tables)?;
    let payload = Payload {
        units: selectors.iter().map(|s| s as &dyn UnitSelector).collect(),
        programs,
        agent_path,
        agent,
        tables: policy.tables,
        signature: envelope.to_json().into_bytes(),
        source,
        trust,
        agent_config: agent_config(args.pos.as_deref())?,
        name: statement.name,
        serial: statement.serial,
    };
    let options = Options {
        epoch: epoch()?,
        kernel: kernel_check(&args)?,
        allow_missing_units: args.allow_missing_units,
        boot_parameter_elsewhere: args.boot_parameter_elsewhere,
        partition: args.partition,
    };
    progress.set_message(format!("baking {}", args.target.display()));
    let report = bake::bake(&args.target, args.output.as_deref(), &payload, &options)?;
    progress.finish_and_clear();
    report.warnings.iter().for_each(|w| out.note(format_args!("warning: {w}")));
    match out.format() {
        Format::Json => out.json(&report)?,
        Format::Text => print(&report, out)?,
    }
    Ok(Exit::Done)
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

/// The statement's envelope: made with the key, or read from beside the tables. Either way an image must be able to
/// verify it with the keys that it will have.
fn signature(
    args: &Args,
    policy: &PolicyFile,
    key: Option<&SigningKey>,
    name: String,
    trust: &BTreeMap<String, Vec<u8>>,
) -> anyhow::Result<(Envelope, PolicyStatement)> {
    let envelope = match key {
        Some(key) => super::sign::sign(&policy.tables, key, name)?.1,
        None if policy.source.is_some() => {
            anyhow::bail!("--key is needed to sign the policy; `kiln keygen DIR` makes one")
        }
        None => {
            let path = super::sign::signature_path(&args.policy);
            let bytes = read_bounded(&path, crate::bundle::MAX_ENVELOPE as u64)
                .context("the tables have no signature; make it with `kiln sign`, or give --key")?;
            Envelope::parse(&bytes).with_context(|| format!("{} is not a signature", path.display()))?
        }
    };
    let stage = tempfile::tempdir().context("cannot make a temporary folder")?;
    for (name, bytes) in trust {
        fs::write(stage.path().join(name), bytes).context("cannot write a temporary file")?;
    }
    let trusted = TrustedKeys::read(stage.path()).context("the keys to be trusted cannot be used")?;
    let statement = PolicyStatement::verify(&envelope, &trusted)
        .context("the image would refuse this policy; give the right --key or --trust")?;
    statement.covers(&policy.tables)?;
    Ok((envelope, statement))
}

/// The public keys and certificates for the image, by file name.
fn trust_files(dirs: &[PathBuf], key: Option<&SigningKey>) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for dir in dirs {
        let entries = fs::read_dir(dir).with_context(|| format!("cannot read the trust folder {}", dir.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read {}", dir.display()))?.path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
            let public = name.ends_with(".pub") && (name.starts_with("policy") || name.starts_with("pos"));
            if !public && name != "pos-ca.pem" {
                continue;
            }
            // Written anew from what was read, so that nothing but the key or the certificates goes into an image.
            let bytes = if public { public_key(&path)? } else { certificates(&path)? };
            let known = files.insert(name.to_owned(), bytes.clone());
            anyhow::ensure!(
                known.is_none_or(|k| k == bytes),
                "two trust folders have different files named {name}; rename one"
            );
        }
    }
    if dirs.is_empty()
        && let Some(key) = key
    {
        files.insert("policy.pub".to_owned(), key.public().to_pem().into_bytes());
    }
    anyhow::ensure!(!files.is_empty(), "no trusted keys: give --trust DIR with a policy*.pub, or --key");
    Ok(files)
}

/// A public key file. A folder that holds secrets beside public keys is normal; a secret under a public name is not.
fn public_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    let secret = SigningKey::read(path).is_ok() || trust_text(path)?.contains("PRIVATE KEY");
    anyhow::ensure!(!secret, "{} holds a secret key; it must not go into an image", path.display());
    Ok(PublicKey::read(path)?.to_pem().into_bytes())
}

fn trust_text(path: &Path) -> anyhow::Result<String> {
    use std::io::Read;
    let shown = path.display();
    let file = open_file(path).with_context(|| format!("cannot read {shown}"))?;
    let mut text = String::new();
    let read = file.take(TRUST_MAX + 1).read_to_string(&mut text);
    read.with_context(|| format!("{shown} is neither a key nor a certificate in PEM"))?;
    anyhow::ensure!(text.len() as u64 <= TRUST_MAX, "{shown} has more than {TRUST_MAX} bytes");
    Ok(text)
}

/// The certificates of a PEM file, and nothing else of it.
fn certificates(path: &Path) -> anyhow::Result<Vec<u8>> {
    let text = trust_text(path)?;
    let shown = path.display();
    anyhow::ensure!(!text.contains("PRIVATE KEY"), "{shown} holds a secret key; it must not go into an image");
    let (mut out, mut block) = (String::new(), None::<String>);
    for line in text.lines().map(str::trim_end) {
        match (line, &mut block) {
            ("-----BEGIN CERTIFICATE-----", None) => block = Some(String::new()),
            ("-----END CERTIFICATE-----", Some(body)) => {
                // A certificate is a sequence that begins with a sequence (RFC 5280); a key begins with a number.
                let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body.replace('\n', ""));
                let der = der.unwrap_or_default();
                let long = der.get(1).is_some_and(|n| n & 0x80 != 0);
                let at = if long { 2 + usize::from(der[1] & 0x7f) } else { 2 };
                let good = der.first() == Some(&0x30) && der.get(at) == Some(&0x30);
                anyhow::ensure!(good, "{shown} has a block that is not a certificate");
                out.push_str(&format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"));
                block = None;
            }
            (line, Some(body)) => body.extend([line, "\n"]),
            (_, None) => {}
        }
    }
    anyhow::ensure!(block.is_none() && !out.is_empty(), "{shown} has no certificate in PEM");
    Ok(out.into_bytes())
}

fn agent_path(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let own = std::env::current_exe().context("cannot tell where this program is; give --agent PATH")?;
    let beside = own.with_file_name("kiln-agent");
    anyhow::ensure!(
        beside.exists(),
        "no kiln-agent beside {}; build it with scripts/build-agent and give --agent PATH",
        own.display()
    );
    Ok(beside)
}

/// `agent.json` of ARCHITECTURE.md, "In an image".
fn agent_config(pos: Option<&str>) -> anyhow::Result<Vec<u8>> {
    if let Some(url) = pos {
        let rest = url.strip_prefix("https://").unwrap_or_default();
        anyhow::ensure!(!rest.is_empty(), "--pos {url}: expected https://HOST:PORT; agents speak TLS only");
    }
    let mut bytes = serde_json::to_vec_pretty(&serde_json::json!({ "schema": "kiln.agent.v1", "pos": pos }))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn kernel_check(args: &Args) -> anyhow::Result<KernelCheck> {
    let Some(path) = &args.kernel_config else {
        return Ok(if args.no_kernel_check { KernelCheck::Skip } else { KernelCheck::Image });
    };
    let text = policy_file::read_text(path)?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    Ok(KernelCheck::Other(name.strip_prefix("config-").unwrap_or(name).to_owned(), text))
}

/// SOURCE_DATE_EPOCH (reproducible-builds.org), or the epoch itself.
fn epoch() -> anyhow::Result<i64> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(0),
        Ok(text) => match text.trim().parse::<i64>() {
            Ok(n) if (0..=i64::from(u32::MAX)).contains(&n) => Ok(n),
            _ => anyhow::bail!("SOURCE_DATE_EPOCH is `{text}`; expected seconds since 1970"),
        },
    }
}
