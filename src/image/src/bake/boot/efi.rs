//! Programs of EFI that start a kernel: unified kernel images with their addons (UAPI.5), which hold the command line in a
//! section, and kernels with a stub. Sections stand as in Microsoft's PE and COFF specification.

use crate::bake::BakeError;
use crate::bake::image::{Image, Kind};

/// What of a file is read for its sections, and of a section for its command line.
const HEAD: u64 = 64 << 10;
const LINE_MAX: u64 = 64 << 10;
/// Where EFI partitions are mounted; the empty path is that of an image of such a partition.
pub(super) const PARTITIONS: [&str; 4] = ["boot", "efi", "boot/efi", ""];
/// The magic of a kernel's set-up header and where it stands (Documentation/arch/x86/boot.rst).
const HDRS: (usize, &[u8]) = (0x202, b"HdrS");

/// What a file of an EFI partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Program {
    /// A kernel in a PE file of sections, or an addon for one: the command lines that it holds, one for each profile.
    Unified(Vec<String>),
    /// A kernel that takes its command line from who starts it.
    Kernel,
    /// Anything else.
    Other,
}

/// Looks at a file; `None` where there is none.
pub(super) fn program(image: &dyn Image, path: &str) -> Result<Option<Program>, BakeError> {
    match image.find(path) {
        Ok(Some(found)) if found.kind == Kind::File => {}
        Ok(_) | Err(BakeError::InTheWay { .. }) => return Ok(None),
        Err(e) => return Err(e),
    }
    let head = image.part(path, 0, HEAD)?;
    let sections = sections(&head).unwrap_or_default();
    let has = |name: &[u8]| sections.iter().any(|s| s.name == name);
    if !has(b".linux") && !has(b".cmdline") {
        let kernel = head.get(HDRS.0..).is_some_and(|rest| rest.starts_with(HDRS.1));
        return Ok(Some(if kernel { Program::Kernel } else { Program::Other }));
    }
    let mut lines = Vec::new();
    for section in sections.iter().filter(|s| s.name == b".cmdline") {
        let bytes = image.part(path, section.at, section.len.min(LINE_MAX))?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        let what = "its command line is not UTF-8".to_owned();
        let text = std::str::from_utf8(&bytes[..end]);
        lines.push(text.map_err(|_| BakeError::Content { path: path.to_owned(), what })?.trim().to_owned());
    }
    Ok(Some(Program::Unified(lines)))
}

/// The unified kernel images of an EFI partition, each with the addons that it takes.
pub(super) fn unified(image: &dyn Image, partition: &str) -> Result<Vec<(String, Vec<String>)>, BakeError> {
    let mut shared = Vec::new();
    for folder in folders(image, partition, &["loader", "addons"])? {
        shared.extend(files(image, &folder, ".addon.efi")?);
    }
    let mut found = Vec::new();
    for folder in folders(image, partition, &["EFI", "Linux"])? {
        for file in files(image, &folder, ".efi")? {
            let own = files(image, &format!("{file}.extra.d"), ".addon.efi")?;
            found.push((file, shared.iter().cloned().chain(own).collect()));
        }
    }
    Ok(found)
}

/// The folders of these names, of which a FAT file system does not tell upper from lower case.
fn folders(image: &dyn Image, partition: &str, names: &[&str]) -> Result<Vec<String>, BakeError> {
    let mut found = vec![partition.to_owned()];
    for name in names {
        let mut next = Vec::new();
        for folder in &found {
            let list = list(image, folder)?;
            let alike = list.iter().filter(|n| n.eq_ignore_ascii_case(name));
            next.extend(alike.map(|n| join(folder, n)));
        }
        found = next;
    }
    Ok(found)
}

fn files(image: &dyn Image, folder: &str, ending: &str) -> Result<Vec<String>, BakeError> {
    let list = list(image, folder)?;
    Ok(list.iter().filter(|n| n.to_ascii_lowercase().ends_with(ending)).map(|n| join(folder, n)).collect())
}

/// A link or a file in a folder's place is not a folder of an EFI partition.
fn list(image: &dyn Image, folder: &str) -> Result<Vec<String>, BakeError> {
    match image.list(folder) {
        Err(BakeError::InTheWay { .. } | BakeError::Symlink(_)) => Ok(Vec::new()),
        other => other,
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A section of a PE file: its name, and where its bytes are in the file.
#[derive(Debug, PartialEq, Eq)]
struct Section<'h> {
    name: &'h [u8],
    at: u64,
    len: u64,
}

/// The sections of a PE file by its first bytes; `None` if it is none.
fn sections(head: &[u8]) -> Option<Vec<Section<'_>>> {
    let short = |at: usize| Some(u16::from_le_bytes(head.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_le_bytes(head.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let pe = usize::try_from(long(0x3c)?).ok()?;
    if !head.starts_with(b"MZ") || !head.get(pe..)?.starts_with(b"PE\0\0") {
        return None;
    }
    let table = pe.checked_add(24)?.checked_add(short(pe.checked_add(20)?)?.into())?;
    let mut found = Vec::new();
    for n in 0..usize::from(short(pe + 6)?) {
        let at = table.checked_add(n * 40)?;
        let name = head.get(at..at.checked_add(8)?)?;
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        // What is in memory counts, as far as the file has it.
        let len = long(at + 8)?.min(long(at + 16)?);
        found.push(Section { name: &name[..end], at: long(at + 20)?.into(), len: len.into() });
    }
    Some(found)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A PE file with these sections.
    pub(in crate::bake) fn file(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut head = vec![0; 0x80 + 24 + 40 * parts.len()];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c] = 0x80;
        head[0x80..0x84].copy_from_slice(b"PE\0\0");
        head[0x86] = parts.len() as u8;
        let mut body = Vec::new();
        for (n, (name, text)) in parts.iter().enumerate() {
            let at = 0x80 + 24 + 40 * n;
            let place = 0x80 + 24 + 40 * parts.len() + body.len();
            head[at..at + name.len()].copy_from_slice(name.as_bytes());
            for (field, value) in [(8, text.len()), (16, text.len() + 1), (20, place)] {
                head[at + field..at + field + 4].copy_from_slice(&(value as u32).to_le_bytes());
            }
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        [head, body].concat()
    }

    #[test]
    fn sections_are_where_the_table_says() {
        let bytes = file(&[(".linux", "k"), (".cmdline", "quiet")]);
        let found = sections(&bytes).unwrap();
        assert_eq!((found[1].name, found[1].len), (&b".cmdline"[..], 5));
        assert_eq!(&bytes[found[1].at as usize..][..5], b"quiet");
        for cut in 0..bytes.len() {
            let _ = sections(&bytes[..cut]);
        }
        assert_eq!(sections(b"MZ"), None);
    }
}
