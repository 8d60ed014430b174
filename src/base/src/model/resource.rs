//! Resources that a policy limits, and how the language writes an amount of one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is limited, apart from how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Percent of one CPU.
    Cpu,
    /// Bytes.
    Memory,
    /// Tasks.
    Pids,
    /// Descriptors of a process.
    Files,
    /// Bytes a second that are read from each disk.
    IoRead,
    /// Bytes a second that are written to each disk.
    IoWrite,
    /// Bits a second.
    NetworkIn,
    /// Bits a second.
    NetworkOut,
}

impl Resource {
    /// All of them.
    pub const ALL: [Resource; 8] = [
        Resource::Cpu,
        Resource::Memory,
        Resource::Pids,
        Resource::Files,
        Resource::IoRead,
        Resource::IoWrite,
        Resource::NetworkIn,
        Resource::NetworkOut,
    ];

    /// The words of the language.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Cpu => "cpu",
            Resource::Memory => "memory",
            Resource::Pids => "pids",
            Resource::Files => "files",
            Resource::IoRead => "io read",
            Resource::IoWrite => "io write",
            Resource::NetworkIn => "network in",
            Resource::NetworkOut => "network out",
        }
    }

    /// Whether it is a rate of network traffic.
    pub fn is_network(self) -> bool {
        matches!(self, Resource::NetworkIn | Resource::NetworkOut)
    }

    /// An amount as the language writes it.
    pub fn amount(self, most: u64) -> String {
        match self {
            Resource::Cpu => format!("{most}%"),
            Resource::Memory => size(most),
            Resource::Pids | Resource::Files => most.to_string(),
            Resource::IoRead | Resource::IoWrite => format!("{}/s", size(most)),
            Resource::NetworkIn | Resource::NetworkOut => bits(most),
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The canonical text of the amounts of one `limit`: one resource, or both directions of `io`.
pub fn limit_text(amounts: &BTreeMap<Resource, u64>) -> String {
    let mut words = String::from("limit");
    for (n, (resource, most)) in amounts.iter().enumerate() {
        // `limit io read 1MiB/s, write 2MiB/s`
        let name = if n == 0 { resource.name() } else { resource.name().rsplit(' ').next().unwrap_or_default() };
        words += if n == 0 { " " } else { ", " };
        words += &format!("{name} {}", resource.amount(*most));
    }
    words
}

/// Bytes in the largest binary unit that divides them.
fn size(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

fn bits(rate: u64) -> String {
    for (unit, factor) in [("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1000)] {
        if rate != 0 && rate.is_multiple_of(factor) {
            return format!("{}{unit}", rate / factor);
        }
    }
    format!("{rate}bit/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_the_language_has_them() {
        let text = |amounts: &[(Resource, u64)]| limit_text(&amounts.iter().copied().collect());
        assert_eq!(text(&[(Resource::Cpu, 50)]), "limit cpu 50%");
        assert_eq!(text(&[(Resource::Memory, 64 << 20)]), "limit memory 64MiB");
        assert_eq!(text(&[(Resource::Files, 1024)]), "limit files 1024");
        assert_eq!(text(&[(Resource::IoWrite, 2000)]), "limit io write 2000B/s");
        let both = [(Resource::IoRead, 1 << 20), (Resource::IoWrite, 2 << 20)];
        assert_eq!(text(&both), "limit io read 1MiB/s, write 2MiB/s");
        assert_eq!(text(&[(Resource::NetworkIn, 64_000_000)]), "limit network in 64Mbit/s");
        assert_eq!(text(&[(Resource::NetworkOut, 7)]), "limit network out 7bit/s");
    }
}
