//! What the kernel itself says is loaded. An acknowledgement without it is not one.

use serde::{Deserialize, Serialize};

use crate::model::Digest;

/// Evidence that one generation is in force on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Digest of the tables file that was loaded.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub tables: Digest,
    /// SHA-256 of the kernel part as read back from the map.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub readback: Digest,
    /// Serial of the policy.
    pub serial: u64,
    /// The programs that are attached, sorted by name.
    pub programs: Vec<Program>,
    /// The links that hold them, sorted by id.
    pub links: Vec<Link>,
    /// The harmless denial that really happened under this generation.
    pub sentinel: Sentinel,
    /// `uname -r`.
    pub kernel: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// A loaded BPF program (`struct bpf_prog_info`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The program's name, at most 15 bytes as the kernel keeps it.
    pub name: String,
    /// The kernel's id.
    pub id: u32,
    /// The kernel's tag: 16 hex digits over the instructions.
    pub tag: String,
}

/// A BPF link (`struct bpf_link_info`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The kernel's id.
    pub id: u32,
    /// Id of the program that it attaches.
    pub program: u32,
}

/// The denial provoked to prove enforcement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// The process that was refused.
    pub pid: u32,
    /// Nanoseconds after boot.
    pub time_ns: u64,
    /// Sequence number of the event.
    pub seq: u64,
}
