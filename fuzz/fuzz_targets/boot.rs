//! No boot configuration of an image panics bake, and what it repairs it finds in order the second time. The first byte
//! says which file.
#![no_main]

use std::collections::BTreeMap;

use kiln_image::bake::BakeError;
use kiln_image::bake::boot::plan;
use kiln_image::bake::image::{Found, Image, Kind, Node};
use kiln_image::bake::kernel::Kernel;
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 10] = [
    "boot/grub/grub.cfg",
    "etc/default/grub",
    "etc/default/grub.d/60-x.cfg",
    "boot/loader/entries/a.conf",
    "etc/kernel/cmdline",
    "boot/extlinux/extlinux.conf",
    "efi/EFI/Linux/a.efi",
    "boot/grub/grubenv",
    "boot/refind_linux.conf",
    "boot/limine.conf",
];

/// An image in memory.
struct Memory(BTreeMap<String, Vec<u8>>);

impl Image for Memory {
    fn find(&self, path: &str) -> Result<Option<Found>, BakeError> {
        let found = |kind, len| Found { kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, len };
        Ok(match self.0.get(path) {
            Some(bytes) => Some(found(Kind::File, bytes.len() as u64)),
            None if !self.list(path)?.is_empty() => Some(found(Kind::Dir, 0)),
            None => None,
        })
    }
    fn read(&self, path: &str) -> Result<Vec<u8>, BakeError> {
        Ok(self.0[path].clone())
    }
    fn part(&self, path: &str, offset: u64, len: u64) -> Result<Vec<u8>, BakeError> {
        Ok(self.0[path].iter().skip(offset as usize).take(len as usize).copied().collect())
    }
    fn link_target(&self, _: &str) -> Result<String, BakeError> {
        Ok(String::new())
    }
    fn list(&self, path: &str) -> Result<Vec<String>, BakeError> {
        let below = |p: &String| {
            let rest = if path.is_empty() { p.as_str() } else { p.strip_prefix(path)?.strip_prefix('/')? };
            Some(rest.split('/').next()?.to_owned())
        };
        let mut names: Vec<String> = self.0.keys().filter_map(below).collect();
        names.dedup();
        Ok(names)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, text)) = bytes.split_first() else { return };
    let file = FILES[usize::from(which & 0x7f) % FILES.len()];
    let mut image = Memory(BTreeMap::from([
        (FILES[0].to_owned(), b"linux /vmlinuz quiet $x\n".to_vec()),
        (file.to_owned(), text.to_vec()),
    ]));
    let list: &[&str] = if which & 0x80 == 0 { &["yama", "apparmor"] } else { &["yama", "bpf"] };
    let kernels = [Kernel { release: "6.1.0".to_owned(), lsm: list.iter().map(|m| (*m).to_owned()).collect() }];
    let Ok(first) = plan(&image, &kernels) else { return };
    for change in first.changes {
        match change.node {
            Some(Node::File { bytes, .. }) => image.0.insert(change.path, bytes),
            Some(_) => None,
            None => image.0.remove(&change.path),
        };
    }
    let second = plan(&image, &kernels).expect("what was repaired is read");
    assert!(second.changes.iter().all(|c| matches!(&c.node, Some(Node::File { bytes, .. }) if image.0.get(&c.path) == Some(bytes))));
});
