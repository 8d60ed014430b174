//! What undoes a backend's steps.

use serde::{Deserialize, Serialize};

/// What undoes one step of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub enum Undo {
    /// Thaw a unit.
    SystemdThaw {
        /// The unit.
        unit: String,
    },
    /// Give a unit its network back.
    SystemdNetwork {
        /// The unit.
        unit: String,
    },
    /// Give a unit its processor back.
    SystemdWeights {
        /// The unit.
        unit: String,
    },
    /// Thaw a control group.
    CgroupThaw {
        /// The group, from the hierarchy's root.
        cgroup: String,
    },
    /// Give a control group its network back.
    CgroupNetwork {
        /// The group, from the hierarchy's root.
        cgroup: String,
        /// Its number.
        id: u64,
    },
    /// Write a control file's old value back.
    CgroupWrite {
        /// The group, from the hierarchy's root.
        cgroup: String,
        /// The control file.
        file: String,
        /// Its value before.
        value: String,
    },
}

impl Undo {
    /// Whether it is a step of the `cgroup` backend, which needs no systemd.
    pub(super) fn is_cgroup(&self) -> bool {
        matches!(self, Undo::CgroupThaw { .. } | Undo::CgroupNetwork { .. } | Undo::CgroupWrite { .. })
    }
}
