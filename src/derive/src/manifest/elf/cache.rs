//! The cache of ldconfig(8), in which glibc's loader looks instead of ld.so.conf: glibc's sysdeps/generic/dl-cache.h.

use std::collections::HashMap;

use crate::manifest::root::Root;

const MAX_FILE: u64 = 64 << 20;
const OLD: &[u8] = b"ld.so-1.7.0\0";
const NEW: &[u8] = b"glibc-ld.so.cache1.1";
/// Bytes of an entry of either form, and of the newer form's header.
const OLD_ENTRY: usize = 12;
const NEW_ENTRY: usize = 24;
const NEW_HEADER: usize = 48;

/// The paths that a name may mean, in the cache's order; `true` where it is one for some processors only.
#[derive(Debug, Default)]
pub(super) struct Cache(HashMap<String, Vec<(String, bool)>>);

impl Cache {
    /// Reads /etc/ld.so.cache; without one, or in a form that is not known, nothing is in it.
    pub(super) fn read(root: &Root) -> Cache {
        root.read("/etc/ld.so.cache", MAX_FILE).ok().and_then(|bytes| Cache::parse(&bytes)).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Option<Cache> {
        let word =
            |bytes: &[u8], at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
        // The older form may stand before the newer one, for older loaders.
        let bytes = match bytes.starts_with(OLD) {
            false => bytes,
            true => {
                let count = word(bytes, OLD.len())? as usize;
                let end = count.checked_mul(OLD_ENTRY)?.checked_add(OLD.len() + 4)?;
                bytes.get(end.checked_next_multiple_of(8)?..)?
            }
        };
        if !bytes.starts_with(NEW) {
            return None;
        }
        let text = |at: u32| {
            let rest = bytes.get(at as usize..)?;
            let len = rest.iter().take(4096).position(|b| *b == 0)?;
            std::str::from_utf8(&rest[..len]).ok().map(str::to_owned)
        };
        let mut out = Cache::default();
        for entry in bytes.get(NEW_HEADER..)?.chunks_exact(NEW_ENTRY).take(word(bytes, NEW.len())? as usize) {
            let (key, value) = (text(word(entry, 4)?), text(word(entry, 8)?));
            let some = entry[16..24].iter().any(|b| *b != 0);
            if let Some((key, value)) = key.zip(value).filter(|(_, path)| path.starts_with('/')) {
                out.0.entry(key).or_default().push((value, some));
            }
        }
        Some(out)
    }

    /// The paths of a name.
    pub(super) fn paths(&self, name: &str) -> &[(String, bool)] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cache(before: &[u8]) -> Vec<u8> {
        let entries = [
            (0u64, "libz.so.1", "/opt/z/libz.so.1"),
            (1 << 62, "liby.so", "/y/v3/liby.so"),
            (0, "liby.so", "/y/liby.so"),
        ];
        let (mut strings, mut table) = (Vec::new(), Vec::new());
        let start = NEW_HEADER + NEW_ENTRY * entries.len();
        for (hwcap, key, value) in entries {
            let mut put = |text: &str| {
                let at = (start + strings.len()) as u32;
                strings.extend(text.bytes().chain([0]));
                at.to_le_bytes()
            };
            let (key, value) = (put(key), put(value));
            table.extend([&[3, 3, 0, 0][..], &key, &value, &[0; 4], &hwcap.to_le_bytes()].concat());
        }
        let mut head = [NEW, &(entries.len() as u32).to_le_bytes(), &(strings.len() as u32).to_le_bytes()].concat();
        head.resize(NEW_HEADER, 0);
        [before, &head, &table, &strings].concat()
    }

    #[test]
    fn both_forms() {
        let old = [OLD, &[0; 4]].concat();
        for before in [&old[..], &[]] {
            let read = Cache::parse(&cache(before)).unwrap();
            assert_eq!(read.paths("libz.so.1"), [("/opt/z/libz.so.1".to_owned(), false)]);
            let y = [("/y/v3/liby.so".to_owned(), true), ("/y/liby.so".to_owned(), false)];
            assert_eq!(read.paths("liby.so"), y);
            assert!(read.paths("libx.so").is_empty());
        }
        assert!(Cache::parse(&old).is_none());
    }

    proptest! {
        #[test]
        fn no_damage_panics(at in 0usize..240, value: u8, cut in 0usize..300) {
            let mut bytes = cache(&[]);
            bytes.truncate(cut.max(1));
            if let Some(b) = bytes.get_mut(at) {
                *b = value;
            }
            let _ = Cache::parse(&bytes);
        }
    }
}
