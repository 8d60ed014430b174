//! `kiln keygen`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use super::{Exit, Format, Out};
use crate::bundle::{SigningKey, write_aside};

/// Example: kiln keygen keys && kiln bake ROOT --policy nginx.pdl --key keys/policy.key --trust keys
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder for the keys; made where it does not exist.
    dir: PathBuf,
    /// The keys' name: NAME.key and NAME.pub. `policy…` may sign policies, `pos…` assignments, `tighten…` tightened policies.
    #[arg(long, default_value = "policy", value_name = "NAME")]
    name: String,
}

#[derive(Serialize)]
struct Made {
    secret: PathBuf,
    public: PathBuf,
    key_id: String,
}

/// Makes a key pair; never replaces one.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let role = ["policy", "pos", "tighten"].iter().any(|role| args.name.starts_with(role));
    let plain = args.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    anyhow::ensure!(
        role && plain,
        "the name `{}` does not tell what the key may sign; begin it with `policy`, `pos` or `tighten`, then letters, digits, `-`, `_` or `.`",
        args.name
    );
    fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    let secret = args.dir.join(format!("{}.key", args.name));
    let public = args.dir.join(format!("{}.pub", args.name));
    // Of two at once the second sees the keys of the first.
    let folder = fs::File::open(&args.dir).with_context(|| format!("cannot open {}", args.dir.display()))?;
    folder.lock().with_context(|| format!("cannot lock {}", args.dir.display()))?;
    for path in [&secret, &public] {
        anyhow::ensure!(!path.exists(), "{} exists; a key is never overwritten, choose another --name", path.display());
    }
    let key = SigningKey::generate()?;
    key.write(&secret)?;
    write_aside(&public, key.public().to_pem().as_bytes(), 0o644)?;
    let made = Made { key_id: key.public().key_id(), secret, public };
    match out.format() {
        Format::Json => out.json(&made)?,
        Format::Text => {
            out.line(format_args!("secret key  {} (keep it off the images)", made.secret.display()))?;
            out.line(format_args!("public key  {}", made.public.display()))?;
            out.line(format_args!("key id      {}", made.key_id))?;
        }
    }
    Ok(Exit::Done)
}
