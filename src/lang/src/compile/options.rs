//! What the compiler is told beside the policy.

use std::fmt;
use std::str::FromStr;

use kiln_base::model::Digest;

/// A kernel release, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// 6 of 6.1.
    pub major: u16,
    /// 1 of 6.1.
    pub minor: u16,
}

impl KernelVersion {
    /// The oldest kernel that Kiln supports.
    pub const BASELINE: KernelVersion = KernelVersion { major: 6, minor: 1 };
    /// The newest kernel whose hooks are known.
    pub const NEWEST: KernelVersion = KernelVersion { major: 6, minor: 18 };
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Text that names no kernel that Kiln supports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a kernel version that Kiln supports; give one from {oldest} to {newest}, as in `--kernel {oldest}`",
    oldest = KernelVersion::BASELINE,
    newest = KernelVersion::NEWEST
)]
pub struct ParseKernelError(String);

impl FromStr for KernelVersion {
    type Err = ParseKernelError;
    /// Reads `6.1`; a patch level or suffix behind (`6.1.0-40-amd64`) is ignored.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let number = |part: Option<&str>| part.filter(|p| p.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
        let mut parts = s.split(['.', '-']);
        match (number(parts.next()), number(parts.next())) {
            (Some(major), Some(minor)) => Some(KernelVersion { major, minor }),
            _ => None,
        }
        .filter(|v| (KernelVersion::BASELINE..=KernelVersion::NEWEST).contains(v))
        .ok_or_else(|| ParseKernelError(s.chars().take(80).collect()))
    }
}

/// What the compiler is told beside the policy.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The digest by which the policy is known.
    pub policy: Digest,
    /// The version's serial.
    pub serial: u64,
    /// The oldest kernel that must enforce it.
    pub kernel: KernelVersion,
}
