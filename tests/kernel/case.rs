//! A case: one file in `cases/`, named after what must not work.

use std::fs;
use std::path::{Path, PathBuf};

use kiln::model::Verb;
use serde::Deserialize;

use crate::needs::Needs;

/// One attack and what must become of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The file's stem: lower case, digits and `_`.
    #[serde(skip)]
    pub name: String,
    /// One sentence: what the policy promises here.
    #[allow(dead_code, reason = "read by people")]
    pub about: String,
    /// Shell commands that lay the ground in /tmp/kt, as root and unconfined, before each run.
    #[serde(default)]
    pub setup: String,
    /// An attack of `attack/*.c` with its arguments.
    pub attack: String,
    /// What to run in the attack's place without the policy, where the attack's target is Kiln itself.
    pub baseline: Option<String>,
    /// What the policy permits: must work under it, without one report of a denial.
    #[serde(default)]
    pub control: Vec<String>,
    /// `profile` (default) or `guard`.
    #[serde(default)]
    pub kind: Kind,
    /// The classes that the profile governs, as PDL writes them. None for a guard.
    #[serde(default)]
    pub governs: String,
    /// PDL rules.
    pub rules: String,
    /// The errno (or other sign, see the attack) of the refusal.
    #[serde(default = "eperm")]
    pub errno: String,
    /// The report of it.
    pub event: Expected,
    /// As whom to attack: `root`, `nobody`.
    #[serde(default = "both_users")]
    pub users: Vec<String>,
    /// The modes in which it makes sense.
    #[serde(default = "both_modes")]
    pub modes: Vec<Mode>,
    /// The kernels on which it makes sense.
    #[serde(default = "both_kernels")]
    pub kernels: Vec<String>,
    /// Kernel modules that it needs.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Further kernel parameters.
    #[serde(default)]
    pub append: String,
    /// CPUs of the guest.
    pub cpus: Option<u32>,
    /// The file system on an extra disk, see `needs.rs`.
    pub disk: Option<String>,
    /// Whether it has a boot of its own: where it works, nothing is enforced any more.
    #[serde(default)]
    pub own_boot: bool,
    /// Classes that also the profile that governs everything leaves alone: the attack is refused as a detour round the
    /// others, or does of them on its way what no rule can permit.
    #[serde(default)]
    pub free: Vec<String>,
    /// Why the attack is none in the usual sandbox, where that lets it be done: it is not run there.
    pub no_sandbox: Option<String>,
    /// A hole that is known and not closed yet: where it is. The test is ignored while the attack works, and fails from
    /// the moment on at which it is refused, until this line goes.
    pub open: Option<String>,
}

/// What kind of block the rules are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Default deny.
    #[default]
    Profile,
    /// Deny only.
    Guard,
}

/// A mode under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Refuses and reports.
    Enforce,
    /// Reports only.
    Audit,
}

/// What the report of the refusal must say.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The verb.
    pub verb: Verb,
    /// The object, whole; absent where it has no name worth fixing.
    pub object: Option<String>,
    /// Text that the object contains.
    pub object_contains: Option<String>,
}

fn eperm() -> String {
    "EPERM".to_owned()
}

fn both_users() -> Vec<String> {
    vec!["root".to_owned(), "nobody".to_owned()]
}

fn both_modes() -> Vec<Mode> {
    vec![Mode::Enforce, Mode::Audit]
}

fn both_kernels() -> Vec<String> {
    crate::guest::KERNELS.map(str::to_owned).to_vec()
}

/// The folder of this test.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel")
}

/// Every case, by name.
///
/// # Errors
/// A text that names the file and what is wrong with it.
pub fn all() -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    let folder = folder().join("cases");
    for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            return Err(format!("{}: a case is a .toml file", path.display()));
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut case: Case = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        case.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !case.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            return Err(format!("{}: a case's name has lower-case letters, digits and _ only", path.display()));
        }
        cases.push(case);
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Mode {
    /// The word in PDL, in unit names and in block names.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Audit => "audit",
        }
    }
}

impl Case {
    /// The runs under the policy: phase, mode of its block, and user. Controls run in a block of their own, so that
    /// their reports are told from the attack's.
    pub fn confined(&self) -> Vec<(String, Mode, String)> {
        let mut runs = Vec::new();
        for user in &self.users {
            for mode in &self.modes {
                runs.push((mode.name().to_owned(), *mode, user.clone()));
            }
            for place in 0..self.control.len() {
                runs.push((format!("control{place}"), Mode::Enforce, user.clone()));
            }
        }
        runs
    }

    /// What it needs of its guest.
    pub fn needs(&self) -> Needs {
        let alone = self.own_boot.then(|| self.name.clone());
        Needs { append: self.append.clone(), cpus: self.cpus, disk: self.disk.clone(), alone }
    }

    /// The block's name for a run.
    pub fn block(&self, phase: &str, user: &str) -> String {
        if phase.starts_with("control") {
            return format!("kt_{}_control", self.name);
        }
        format!("kt_{}_{phase}_{user}", self.name)
    }

    /// The blocks: name, mode and the unit they are for.
    pub fn blocks(&self) -> Vec<(String, Mode, String)> {
        let mut blocks: Vec<_> = self
            .confined()
            .into_iter()
            .map(|(phase, mode, user)| {
                let unit = match phase.starts_with("control") {
                    true => format!("kt-{}-control*.service", self.name),
                    false => self.unit(&phase, &user),
                };
                (self.block(&phase, &user), mode, unit)
            })
            .collect();
        blocks.sort();
        blocks.dedup();
        blocks
    }

    /// The unit's name for a run.
    pub fn unit(&self, phase: &str, user: &str) -> String {
        format!("kt-{}-{phase}-{user}.service", self.name)
    }
}
