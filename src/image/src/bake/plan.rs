//! Decides, from a reading of the image alone, what a bake writes.

use std::collections::{BTreeMap, BTreeSet};

use kiln_base::model::Digest;
use serde::{Deserialize, Serialize};

use super::BakeError;
use super::boot::{self, BootEdit};
use super::image::{Change, Image, Kind, Node};
use super::kernel::{self, Kernel};
use super::layout::{
    AGENT, AGENT_CONFIG, AGENT_UNIT, DROP_IN, LIB, LOAD_UNIT, MANIFEST, SIGNATURE, SOURCE, TABLES, TRUST, UNITS,
    drop_in,
};
use super::payload::{KernelCheck, Options, Payload};
use super::units::{self, Confined};
use super::{binary, manager, programs, render, shadow};

/// `manifest.json`: what a bake put into the image. Its own digest is the image's identity towards the POS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `kiln.manifest.v1`.
    pub schema: String,
    /// Name of the policy.
    pub name: String,
    /// Serial of the policy.
    pub serial: u64,
    /// Units that do not start without the policy.
    pub units: Vec<String>,
    /// Digests of the files, by path with leading slash.
    pub files: BTreeMap<String, Digest>,
    /// Targets of the links, by path with leading slash.
    pub links: BTreeMap<String, String>,
}

/// The version of [`Manifest`].
pub const MANIFEST_SCHEMA: &str = "kiln.manifest.v1";

/// What to write, and what to say about it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Every path, sorted; those that are as they should be included.
    pub changes: Vec<Change>,
    /// Confined units.
    pub units: Vec<String>,
    /// The kernels that were judged.
    pub kernels: Vec<Kernel>,
    /// Where the boot parameter is added.
    pub boot: Vec<BootEdit>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Digest of manifest.json.
    pub image: Digest,
}

/// Plans a bake.
pub fn plan(image: &dyn Image, payload: &Payload<'_>, options: &Options) -> Result<Plan, BakeError> {
    let mut warnings = Vec::new();
    binary::check_agent(&payload.agent_path, &payload.agent, image)?;
    shadow::check(image)?;
    manager::check(image)?;
    let kernels = match &options.kernel {
        KernelCheck::Image => kernel::kernels(image)?,
        KernelCheck::Other(release, config) => vec![kernel::judge(release, config)?],
        KernelCheck::Skip => {
            warnings.push("no kernel was checked: whether this image can enforce is not known".to_owned());
            Vec::new()
        }
    };
    let boot = boot::plan(image, &kernels)?;
    if let Some(parameter) = boot.homeless {
        if !options.boot_parameter_elsewhere {
            return Err(BakeError::NoBootLoader(parameter));
        }
        warnings.push(format!("boot this image with `{parameter}`, or nothing is enforced"));
    }
    let Confined { units: confined, mut missing, unstarted } = units::confined(image, &payload.units)?;
    missing.extend(programs::missing(image, &payload.programs)?);
    missing.extend(payload.absent.iter().cloned());
    if !missing.is_empty() {
        if !options.allow_missing_units {
            return Err(BakeError::MissingUnits(missing.join(", ")));
        }
        warnings.push(format!("the image has no {}", missing.join(", ")));
    }
    if !unstarted.is_empty() {
        warnings.push(format!("no link in the image starts {}: is that the instance's name?", unstarted.join(", ")));
    }

    let mut drop_ins = BTreeMap::new();
    for unit in &confined {
        let lines = units::call_lines(image, &payload.units, unit)?;
        drop_ins.insert(drop_in(unit), render::drop_in(unit, &lines)?);
    }
    let mut nodes = own_files(payload, drop_ins)?;
    let mut manifest = Manifest {
        schema: MANIFEST_SCHEMA.to_owned(),
        name: payload.name.clone(),
        serial: payload.serial,
        units: confined.clone(),
        files: BTreeMap::new(),
        links: BTreeMap::new(),
    };
    for (path, node) in &nodes {
        match node {
            Node::File { bytes, .. } => manifest.files.insert(format!("/{path}"), Digest::of(bytes)).map(drop),
            Node::Link { target } => manifest.links.insert(format!("/{path}"), target.clone()).map(drop),
        };
    }
    let mut json = serde_json::to_vec_pretty(&manifest)
        .map_err(|e| BakeError::Content { path: MANIFEST.to_owned(), what: e.to_string() })?;
    json.push(b'\n');
    let digest = Digest::of(&json);
    nodes.insert(MANIFEST.to_owned(), file(json, 0o644));

    let mut changes: Vec<Change> = stale(image, &nodes)?.into_iter().map(|path| Change { path, node: None }).collect();
    changes.extend(nodes.into_iter().map(|(path, node)| Change { path, node: Some(node) }));
    changes.extend(boot.changes);
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Plan { changes, units: confined, kernels, boot: boot.edits, warnings, image: digest })
}

fn file(bytes: impl Into<Vec<u8>>, mode: u32) -> Node {
    Node::File { bytes: bytes.into(), mode, owner: (0, 0) }
}

/// Everything of Kiln's own but the manifest.
fn own_files(payload: &Payload<'_>, drop_ins: BTreeMap<String, String>) -> Result<BTreeMap<String, Node>, BakeError> {
    let mut nodes = BTreeMap::new();
    let mut put = |path: &str, node| nodes.insert(path.to_owned(), node);
    put(AGENT, file(payload.agent.clone(), 0o755));
    put(TABLES, file(payload.tables.clone(), 0o644));
    put(SIGNATURE, file(payload.signature.clone(), 0o644));
    put(AGENT_CONFIG, file(payload.agent_config.clone(), 0o644));
    if let Some(source) = &payload.source {
        put(SOURCE, file(source.as_bytes(), 0o644));
    }
    for (name, bytes) in &payload.trust {
        put(&format!("{TRUST}/{name}"), file(bytes.clone(), 0o644));
    }
    for (name, text) in [(LOAD_UNIT, render::load_unit()?), (AGENT_UNIT, render::agent_unit()?)] {
        for (dir, target) in render::wanted_by(&text) {
            put(&format!("{UNITS}/{target}.{dir}/{name}"), Node::Link { target: format!("../{name}") });
        }
        put(&format!("{UNITS}/{name}"), file(text, 0o644));
    }
    for (path, text) in drop_ins {
        put(&path, file(text, 0o644));
    }
    Ok(nodes)
}

/// What an earlier bake, or somebody else, left in Kiln's places: a key that nobody named must not stay trusted.
fn stale(image: &dyn Image, nodes: &BTreeMap<String, Node>) -> Result<BTreeSet<String>, BakeError> {
    let mut out = BTreeSet::new();
    for dir in [LIB, TRUST] {
        for name in image.list(dir)? {
            let path = format!("{dir}/{name}");
            if path != TRUST && !nodes.contains_key(&path) {
                out.insert(path);
            }
        }
    }
    for dir in image.list(UNITS)? {
        let at = format!("{UNITS}/{dir}");
        if image.find(&at)?.is_none_or(|f| f.kind != Kind::Dir) {
            continue;
        }
        let ours: &[&str] = match dir.rsplit_once('.') {
            Some((_, "d")) => &[DROP_IN],
            Some((_, "wants" | "requires")) => &[LOAD_UNIT, AGENT_UNIT],
            _ => continue,
        };
        for name in ours {
            let path = format!("{at}/{name}");
            if !nodes.contains_key(&path) && image.find(&path)?.is_some() {
                out.insert(path);
            }
        }
    }
    Ok(out)
}
