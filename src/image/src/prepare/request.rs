//! One bake as it is asked for, and as it is ready to be done.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kiln_base::abi::Tables;
use kiln_base::bundle::{Envelope, MAX_ENVELOPE, PolicyStatement, SigningKey, TrustedKeys};
use kiln_lang::compile::{Image, KernelVersion, Users};

use super::error::PrepareError;
use super::file::read_bounded;
use super::policy::{self, PolicyError, PolicyFile};
use super::selector::{self, Selector};
use super::{missing, sign, trust, users};
use crate::bake::{self, BakeError, KernelCheck, Options, Payload, Report, UnitSelector};

/// Largest agent: the static one has 2 to 8 MiB.
const AGENT_MAX: u64 = 64 << 20;

/// Which kernel has to be able to enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelFrom {
    /// Those of the image.
    Image,
    /// One whose configuration is in this file, named `config-RELEASE`.
    File(PathBuf),
    /// None is judged.
    Nowhere,
}

/// What is to be baked, and from which files.
#[derive(Debug, Clone)]
pub struct Request {
    /// The image.
    pub target: PathBuf,
    /// Where the baked image goes; without it, in the image's place.
    pub output: Option<PathBuf>,
    /// PDL, or a tables file with its signature beside it.
    pub policy: PathBuf,
    /// The policy's secret key; not needed for tables that are signed.
    pub key: Option<PathBuf>,
    /// Folders of public keys and certificates; without any, the key's public half is trusted.
    pub trust: Vec<PathBuf>,
    /// The agent's static binary; without it, `kiln-agent` beside the running program.
    pub agent: Option<PathBuf>,
    /// Address of the POS.
    pub pos: Option<String>,
    /// Whether the image forbids operators the audit mode.
    pub forbid_audit: bool,
    /// The policy's serial, for PDL.
    pub serial: u64,
    /// The policy's name; without it, that of its file.
    pub name: Option<String>,
    /// The source to bake along with tables.
    pub source: Option<PathBuf>,
    /// Which kernel to judge.
    pub kernel: KernelFrom,
    /// A unit or program that the image lacks is a warning.
    pub allow_missing_units: bool,
    /// A boot parameter without a place is a warning.
    pub boot_parameter_elsewhere: bool,
    /// The root partition of a disk.
    pub partition: Option<u32>,
    /// SOURCE_DATE_EPOCH (reproducible-builds.org) as it is set; without it, the epoch itself.
    pub source_date_epoch: Option<String>,
}

/// A bake of which everything but the image is known.
pub struct Ready {
    target: PathBuf,
    output: Option<PathBuf>,
    selectors: Vec<Selector>,
    /// But for its selectors, which borrow.
    payload: Payload<'static>,
    options: Options,
}

impl Request {
    /// Reads the files, compiles or proves the policy, and signs it or verifies its signature.
    ///
    /// # Errors
    /// [`PrepareError`]; nothing was written.
    pub fn prepare(self) -> Result<Ready, PrepareError> {
        let name = self.name.clone().map_or_else(|| sign::name_of(&self.policy), Ok)?;
        let kernel = policy::oldest_kernel(&self.target, self.partition);
        let users = users::users(&self.target, self.partition);
        let policy = self.policy_for(kernel, &users)?;
        users::agree(&policy.tables, &users)?;
        let key = self.key.as_deref().map(SigningKey::read).transpose()?;
        let trust = trust::files(&self.trust, key.as_ref())?;
        let (envelope, statement) = signature(&self.policy, &policy, key.as_ref(), name, &trust)?;
        let agent_path = self.agent.map_or_else(agent_beside, Ok)?;
        let agent = read_bounded(&agent_path, AGENT_MAX)?;
        match (&policy.source, &self.source) {
            (Some(_), Some(_)) => return Err(PrepareError::TwoSources(self.policy)),
            (None, Some(path)) => drop(policy::source_of(&policy.tables, path)?),
            (_, None) => {}
        }
        // What was compiled, whole and in one file: whoever reads it in the image has what the source imports, too.
        let source = Tables::read(&policy.tables).map_err(PolicyError::from)?.metadata.source;
        let selectors = Selector::all(&policy.tables)?;
        let payload = Payload {
            units: Vec::new(),
            programs: selector::programs(&policy.tables)?,
            absent: missing::absent(&policy.tables)?,
            agent_path,
            agent,
            tables: policy.tables,
            signature: envelope.to_json().into_bytes(),
            source: Some(source),
            trust,
            agent_config: agent_config(self.pos.as_deref(), self.forbid_audit)?,
            name: statement.name,
            serial: statement.serial,
        };
        let options = Options {
            epoch: epoch(self.source_date_epoch.as_deref())?,
            kernel: kernel_check(self.kernel)?,
            allow_missing_units: self.allow_missing_units,
            boot_parameter_elsewhere: self.boot_parameter_elsewhere,
            partition: self.partition,
        };
        Ok(Ready { target: self.target, output: self.output, selectors, payload, options })
    }
}

impl Request {
    /// The policy for the image. An image that cannot be read is refused by the bake itself, with its reason, where the
    /// policy does not ask what the image is.
    fn policy_for(&self, kernel: KernelVersion, users: &Users) -> Result<PolicyFile, PrepareError> {
        let load = |info| policy::load(&self.policy, self.serial, kernel, Image { users, info });
        match missing::about(&self.target, self.partition) {
            Ok(image) => Ok(load(Some(&image))?),
            Err(error) => match load(None) {
                Ok(policy) if Tables::read(&policy.tables)?.metadata.image.is_none() => Ok(policy),
                Ok(_) | Err(PolicyError::Gaps { .. }) => Err(error.into()),
                Err(other) => Err(other.into()),
            },
        }
    }
}

impl Ready {
    /// Bakes the image.
    ///
    /// # Errors
    /// As [`bake::bake`].
    pub fn bake(self) -> Result<Report, BakeError> {
        let units = self.selectors.iter().map(|s| s as &dyn UnitSelector).collect();
        let payload = Payload { units, ..self.payload };
        bake::bake(&self.target, self.output.as_deref(), &payload, &self.options)
    }
}

/// The statement's envelope: made with the key, or read from beside the tables. Either way an image must be able to
/// verify it with the keys that it will have.
fn signature(
    path: &Path,
    policy: &PolicyFile,
    key: Option<&SigningKey>,
    name: String,
    trust: &BTreeMap<String, Vec<u8>>,
) -> Result<(Envelope, PolicyStatement), PrepareError> {
    let envelope = match key {
        Some(key) => sign::sign(&policy.tables, key, name)?.1,
        None if policy.source.is_some() => return Err(PrepareError::NoKey),
        None => {
            let path = sign::signature_path(path);
            let bytes = read_bounded(&path, MAX_ENVELOPE as u64).map_err(PrepareError::NoSignature)?;
            Envelope::parse(&bytes).map_err(|source| PrepareError::Signature { path, source })?
        }
    };
    let failed = |doing| move |source| PrepareError::Temporary { doing, source };
    let stage = tempfile::tempdir().map_err(failed("make a temporary folder"))?;
    for (name, bytes) in trust {
        fs::write(stage.path().join(name), bytes).map_err(failed("write a temporary file"))?;
    }
    let trusted = TrustedKeys::read(stage.path()).map_err(PrepareError::Trusted)?;
    let statement = PolicyStatement::verify(&envelope, &trusted).map_err(PrepareError::Refuses)?;
    statement.covers(&policy.tables)?;
    Ok((envelope, statement))
}

/// The agent as it is installed: beside this program.
fn agent_beside() -> Result<PathBuf, PrepareError> {
    let own = std::env::current_exe().map_err(PrepareError::NoProgram)?;
    let beside = own.with_file_name("kiln-agent");
    if beside.exists() { Ok(beside) } else { Err(PrepareError::NoAgent(own)) }
}

/// `agent.json` of ARCHITECTURE.md, "In an image".
fn agent_config(pos: Option<&str>, forbid_audit: bool) -> Result<Vec<u8>, PrepareError> {
    if let Some(url) = pos
        && url.strip_prefix("https://").unwrap_or_default().is_empty()
    {
        return Err(PrepareError::Pos(url.to_owned()));
    }
    let mut config = serde_json::json!({ "schema": "kiln.agent.v1", "pos": pos });
    if forbid_audit {
        config["operator_audit"] = "refuse".into();
    }
    Ok(format!("{config:#}\n").into_bytes())
}

fn kernel_check(from: KernelFrom) -> Result<KernelCheck, PrepareError> {
    Ok(match from {
        KernelFrom::Image => KernelCheck::Image,
        KernelFrom::Nowhere => KernelCheck::Skip,
        KernelFrom::File(path) => {
            let text = policy::read_text(&path)?;
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            KernelCheck::Other(name.strip_prefix("config-").unwrap_or(name).to_owned(), text)
        }
    })
}

fn epoch(text: Option<&str>) -> Result<i64, PrepareError> {
    match text {
        None => Ok(0),
        Some(text) => match text.trim().parse::<i64>() {
            Ok(n) if (0..=i64::from(u32::MAX)).contains(&n) => Ok(n),
            _ => Err(PrepareError::Epoch(text.to_owned())),
        },
    }
}
