//! Which POS, and as whom: the same for each command that asks one.

use std::path::PathBuf;

use anyhow::Context;

use crate::operator::{Client, Credentials};

/// Where the POS is.
#[derive(Debug, clap::Args)]
pub struct PosArgs {
    /// The POS's address, https://HOST:PORT.
    #[arg(long, value_name = "URL", env = "KILN_POS")]
    pub pos: String,
    /// The folder with the operator's cert.pem, key.pem and ca.pem; `kiln-pos serve` writes it to DATA/operator. Without it,
    /// ~/.config/kiln/operator.
    #[arg(long, value_name = "DIR", env = "KILN_POS_IDENTITY")]
    pub identity: Option<PathBuf>,
}

impl PosArgs {
    /// A client, and the credentials that it uses.
    pub fn client(&self) -> anyhow::Result<(Client, Credentials)> {
        let folder = match &self.identity {
            Some(folder) => folder.clone(),
            None => default_identity().context("give --identity DIR: neither XDG_CONFIG_HOME nor HOME is set")?,
        };
        let credentials = Credentials::read(&folder)?;
        Ok((Client::new(&self.pos, &credentials)?, credentials))
    }
}

fn default_identity() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(config.join("kiln/operator"))
}
