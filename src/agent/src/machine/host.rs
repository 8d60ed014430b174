//! The machine's name, by which a policy may tell hosts apart. It is taken once, when a policy is loaded for the first time
//! in a boot: who may change the name afterwards does not change what holds.

use std::path::Path;

use kiln_base::bundle::write_aside;

use crate::error::Result;
use crate::machine::files::read_optional;

/// Longest name that is read: the kernel's have 64 bytes.
const MAX: u64 = 256;
/// The file of the run folder that has the name.
pub const FILE: &str = "host";

/// The name that was taken; before that, the one that the machine has.
///
/// # Errors
/// If the file cannot be read.
pub fn name(run: &Path) -> Result<Vec<u8>> {
    let taken = match read_optional(&run.join(FILE), MAX) {
        // Who only looks at files of the image may not read it.
        Err(_) if !rustix::process::geteuid().is_root() => None,
        taken => taken?,
    };
    Ok(taken.unwrap_or_else(|| rustix::system::uname().nodename().to_bytes().to_vec()))
}

/// Takes the name for the rest of the boot.
///
/// # Errors
/// If it cannot be written.
pub fn take(run: &Path, name: &[u8]) -> Result<()> {
    Ok(write_aside(&run.join(FILE), name, 0o600)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_stays() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(name(run.path()).unwrap(), rustix::system::uname().nodename().to_bytes());
        take(run.path(), b"web-1").unwrap();
        assert_eq!(name(run.path()).unwrap(), b"web-1");
    }
}
