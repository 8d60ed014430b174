//! Whether the agent's binary can run in the image.

use std::path::Path;

use goblin::elf::Elf;
use goblin::elf::header::{EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC};

use super::BakeError;
use super::image::{Image, Kind};

const REBUILD: &str = "build the static one with scripts/build-agent, or name it with --agent";

/// Fails unless the bytes are a static executable for the image's processor. A dynamic one would need the image's
/// libraries, which a policy may confine and an update replace.
pub fn check_agent(path: &Path, bytes: &[u8], image: &dyn Image) -> Result<(), BakeError> {
    let refuse = |what: String, mend| BakeError::Agent { path: path.to_owned(), what, mend };
    let elf = Elf::parse(bytes).map_err(|e| refuse(format!("not an ELF executable ({e})"), REBUILD))?;
    if !matches!(elf.header.e_type, ET_DYN | ET_EXEC) || elf.entry == 0 {
        return Err(refuse("an ELF file, but not an executable".to_owned(), REBUILD));
    }
    if let Some(loader) = elf.interpreter {
        return Err(refuse(format!("dynamically linked (it asks for {loader})"), REBUILD));
    }
    if let Some(library) = elf.libraries.first() {
        return Err(refuse(format!("dynamically linked (it asks for {library})"), REBUILD));
    }
    let machine = elf.header.e_machine;
    let systemd = "usr/lib/systemd/systemd";
    if image.find(systemd)?.is_some_and(|f| f.kind == Kind::File) {
        let head = image.read(systemd)?;
        // e_machine lies at 18 of every ELF header (System V ABI, figure 4-3); Kiln's machines are little-endian.
        if let (true, Some(field)) = (head.starts_with(b"\x7fELF"), head.get(18..20)) {
            let wanted = u16::from_le_bytes([field[0], field[1]]);
            if wanted != machine {
                let what = format!("built for {}, but the image runs on {}", name(machine), name(wanted));
                return Err(refuse(what, "build the agent for the image's processor"));
            }
        }
    }
    Ok(())
}

fn name(machine: u16) -> String {
    match machine {
        EM_X86_64 => "x86-64".to_owned(),
        EM_AARCH64 => "aarch64".to_owned(),
        other => format!("ELF machine {other}"),
    }
}
