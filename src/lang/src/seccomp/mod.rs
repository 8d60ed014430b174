//! A filter of system calls in the forms that the kernel and container runtimes take.

mod oci;
mod program;

pub use oci::oci;
pub use program::{Instruction, bytes, program};

use std::fmt;
use std::str::FromStr;

/// A processor's system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// x86-64, without its 32-bit entry and without x32.
    X86_64,
    /// aarch64, without its 32-bit entry.
    Aarch64,
}

impl Arch {
    /// Of this program, where it is one of them.
    pub const NATIVE: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

    /// As in `--arch`.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86-64",
            Arch::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that names no processor whose system calls are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a processor whose system calls are known; give x86-64 or aarch64")]
pub struct ParseArchError(String);

impl FromStr for Arch {
    type Err = ParseArchError;
    fn from_str(s: &str) -> Result<Arch, ParseArchError> {
        let all = [Arch::X86_64, Arch::Aarch64];
        all.into_iter().find(|a| a.name() == s).ok_or_else(|| ParseArchError(s.chars().take(40).collect()))
    }
}
