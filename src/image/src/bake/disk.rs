//! Recognises a target and finds the root file system in a raw disk image.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;

use super::BakeError;

/// Offset of the magic number of ext2/3/4 in its file system: superblock at 1024, field at 56 (fs/ext4/ext4.h).
const EXT4_MAGIC_AT: u64 = 1024 + 56;
/// Partition types of a root file system for this product's machines, then the generic one (UAPI.2 Discoverable
/// Partitions Specification; the generic type is what installers use).
const ROOT_TYPES: [&str; 3] = [
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
];

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A root file system directory.
    Directory,
    /// A file system of ext4 in a file.
    Disk(Span),
}

/// Where the root file system lies in its file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub offset: u64,
    /// Length.
    pub len: u64,
    /// The partition's number; `None` for a file that is one file system.
    pub partition: Option<u32>,
}

/// Looks at the target. `partition` names the root partition where the disk has several candidates.
pub fn detect(path: &Path, partition: Option<u32>) -> Result<Shape, BakeError> {
    let meta = std::fs::metadata(path).map_err(BakeError::host(path, "open"))?;
    if meta.is_dir() {
        return Ok(Shape::Directory);
    }
    let refuse = |what: &str, mend| BakeError::Target { path: path.to_owned(), what: what.to_owned(), mend };
    if !meta.is_file() {
        return Err(refuse("a device or pipe", "give a root file system directory or a raw disk image file"));
    }
    let mut file = File::open(path).map_err(BakeError::host(path, "open"))?;
    let mut head = [0; 512];
    let mut have = 0;
    while have < head.len() {
        match file.read(&mut head[have..]).map_err(BakeError::host(path, "read"))? {
            0 => break,
            n => have += n,
        }
    }
    for (magic, what, mend) in [
        (&b"QFI\xfb"[..], "a qcow2 image", "convert it first: qemu-img convert -O raw IMAGE DISK.raw"),
        (b"\x1f\x8b", "a gzip file", "unpack it first"),
        (b"\xfd7zXZ", "an xz file", "unpack it first"),
        (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it first"),
        (b"hsqs", "a squashfs image", "bake the directory it is made from"),
        (b"KDMV", "a VMDK image", "convert it first: qemu-img convert -O raw IMAGE DISK.raw"),
    ] {
        if head.starts_with(magic) {
            return Err(refuse(what, mend));
        }
    }
    if head[257..262] == *b"ustar" {
        return Err(refuse("a tar archive", "unpack it, bake the directory and pack it again"));
    }
    if is_ext4(&file, 0) {
        return Ok(Shape::Disk(Span { offset: 0, len: meta.len(), partition: None }));
    }
    root_partition(path, &file, meta.len(), partition).map(Shape::Disk)
}

fn is_ext4(file: &File, offset: u64) -> bool {
    let mut magic = [0; 2];
    file.read_exact_at(&mut magic, offset.saturating_add(EXT4_MAGIC_AT)).is_ok() && magic == [0x53, 0xef]
}

fn root_partition(path: &Path, file: &File, len: u64, wanted: Option<u32>) -> Result<Span, BakeError> {
    let refuse = |what: String, mend| BakeError::Target { path: path.to_owned(), what, mend };
    let shape = "give a root file system directory, an ext4 image or a GPT disk with an ext4 root";
    let mut reason = None;
    for size in [LogicalBlockSize::Lb512, LogicalBlockSize::Lb4096] {
        if let Some((entries, bytes)) = implausible(file, len, size) {
            let what = format!("its GPT claims {entries} entries of {bytes} bytes");
            return Err(refuse(what, "repair it with sgdisk or make the image again"));
        }
        // Each size of its own, so that a damaged header does not read as "no GPT".
        let device = file.try_clone().map_err(BakeError::host(path, "read"))?;
        match GptConfig::new().writable(false).logical_block_size(size).open_from_device(device) {
            Ok(disk) => return choose(path, file, len, wanted, &disk, size),
            Err(e) if has_signature(file, size) => reason = Some(e.to_string()),
            Err(_) => {}
        }
    }
    match reason {
        Some(reason) => {
            Err(refuse(format!("its GPT is damaged ({reason})"), "repair it with sgdisk or make the image again"))
        }
        None => Err(refuse("neither a GPT disk nor an ext4 file system".to_owned(), shape)),
    }
}

fn has_signature(file: &File, size: LogicalBlockSize) -> bool {
    let mut magic = [0; 8];
    file.read_exact_at(&mut magic, size.into()).is_ok() && magic == *b"EFI PART"
}

/// Most partition entries that are read; installers make 128.
const MAX_ENTRIES: u32 = 1024;

/// The size of a partition table that no tool makes (UEFI 2.10, table 5.5: number of entries at 80, their size at 84),
/// in the header or its backup: reading it would take memory of that size.
fn implausible(file: &File, len: u64, size: LogicalBlockSize) -> Option<(u32, u32)> {
    let block = u64::from(size);
    let backup = (len / block).saturating_sub(1) * block;
    [block, backup].into_iter().find_map(|at| {
        let mut header = [0; 92];
        file.read_exact_at(&mut header, at).ok()?;
        let number = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let (entries, bytes) = (number(80)?, number(84)?);
        (header.starts_with(b"EFI PART") && (entries > MAX_ENTRIES || bytes != 128)).then_some((entries, bytes))
    })
}

fn choose(
    path: &Path,
    file: &File,
    len: u64,
    wanted: Option<u32>,
    disk: &gpt::GptDisk<File>,
    size: LogicalBlockSize,
) -> Result<Span, BakeError> {
    let refuse = |what: String, mend| BakeError::Target { path: path.to_owned(), what, mend };
    let block = u64::from(size);
    let span = |number: u32, part: &gpt::partition::Partition| {
        let blocks = part.last_lba.checked_sub(part.first_lba)?.checked_add(1)?;
        let (offset, bytes) = (part.first_lba.checked_mul(block)?, blocks.checked_mul(block)?);
        let ends = offset.checked_add(bytes)?;
        (ends <= len).then_some(Span { offset, len: bytes, partition: Some(number) })
    };
    if let Some(number) = wanted {
        let part = disk.partitions().get(&number).filter(|p| p.is_used());
        let part =
            part.ok_or_else(|| refuse(format!("it has no partition {number}"), "list them with sfdisk --dump"))?;
        return match span(number, part) {
            Some(span) if is_ext4(file, span.offset) => Ok(span),
            Some(_) => Err(refuse(format!("partition {number} is not ext4"), "Kiln writes ext4 only")),
            None => {
                Err(refuse(format!("partition {number} ends behind the file"), "the image is cut short: copy it again"))
            }
        };
    }
    for kind in ROOT_TYPES {
        let mut found = Vec::new();
        for (number, part) in disk.partitions() {
            if !part.part_type_guid.guid.to_string().eq_ignore_ascii_case(kind) {
                continue;
            }
            match span(*number, part) {
                Some(span) if is_ext4(file, span.offset) => found.push(span),
                Some(_) => {}
                None => {
                    let what = format!("partition {number} ends behind the file");
                    return Err(refuse(what, "the image is cut short: copy it again"));
                }
            }
        }
        match found[..] {
            [] => {}
            [one] => return Ok(one),
            _ => {
                let numbers: Vec<String> = found.iter().filter_map(|s| Some(s.partition?.to_string())).collect();
                let what = format!("partitions {} can each be the root", numbers.join(", "));
                return Err(refuse(what, "say which with --partition N"));
            }
        }
    }
    Err(refuse(
        "no partition of a Linux root type holds ext4".to_owned(),
        "name it with --partition N; Kiln writes ext4 only",
    ))
}
