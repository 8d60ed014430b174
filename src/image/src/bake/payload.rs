//! What goes into an image, and what was asked about how.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::units::UnitSelector;

/// The files that make an image enforce its policy.
pub struct Payload<'a> {
    /// Where the agent was read from, for messages.
    pub agent_path: PathBuf,
    /// The agent's binary.
    pub agent: Vec<u8>,
    /// The tables file.
    pub tables: Vec<u8>,
    /// The DSSE envelope over the policy statement, JSON.
    pub signature: Vec<u8>,
    /// The policy's source; absent when only tables were given.
    pub source: Option<String>,
    /// Trusted keys and certificates by file name.
    pub trust: BTreeMap<String, Vec<u8>>,
    /// The agent's configuration, JSON.
    pub agent_config: Vec<u8>,
    /// The unit selectors of the policy's subjects.
    pub units: Vec<&'a dyn UnitSelector>,
    /// Programs that its subjects name, without wildcards.
    pub programs: Vec<String>,
    /// Selectors by `label` and `image` for which the image has nothing.
    pub absent: Vec<String>,
    /// The policy's name, as signed.
    pub name: String,
    /// The policy's serial, as signed.
    pub serial: u64,
}

/// Which kernel has to be able to enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelCheck {
    /// Those of the image, by the configuration in it.
    Image,
    /// Another, by its release and configuration text.
    Other(String, String),
    /// Nobody asked.
    Skip,
}

/// How to bake.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time stamp of all that is written, seconds since the epoch.
    pub epoch: i64,
    /// Which kernel to judge.
    pub kernel: KernelCheck,
    /// A unit that the image lacks is a warning.
    pub allow_missing_units: bool,
    /// A boot parameter without a place is a warning.
    pub boot_parameter_elsewhere: bool,
    /// The root partition of a disk.
    pub partition: Option<u32>,
}
