//! ELF files: the loader and the closure of libraries, as ld.so(8) of glibc finds them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use goblin::elf::Elf;
use goblin::elf::dynamic::{DT_NEEDED, DT_RPATH, DT_RUNPATH};

use super::root::{Kind, Root, RootError};
use super::{Library, Note, Origin};

/// Bytes of one ELF file that is read.
const MAX_FILE: u64 = 512 << 20;
/// Libraries of one closure.
const MAX_LIBRARIES: usize = 2000;
/// `include` within ld.so.conf.
const MAX_CONF_DEPTH: usize = 8;

/// What an ELF file asks of the loader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// PT_INTERP.
    pub interpreter: Option<String>,
    /// DT_NEEDED, in order.
    pub needed: Vec<String>,
    /// DT_RPATH, without a DT_RUNPATH beside it.
    pub rpath: Vec<String>,
    /// DT_RUNPATH.
    pub runpath: Vec<String>,
    /// e_machine and 64 bits or not: libraries must agree.
    pub kind: (u16, bool),
}

/// Reads the headers of an ELF file; `None` if the bytes are none.
pub fn object(bytes: &[u8]) -> Option<Object> {
    if !bytes.starts_with(b"\x7fELF") {
        return None;
    }
    let elf = Elf::parse(bytes).ok()?;
    let mut out = Object {
        interpreter: elf.interpreter.map(str::to_owned),
        kind: (elf.header.e_machine, elf.is_64),
        ..Object::default()
    };
    let split = |text: &str| text.split(':').filter(|p| !p.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    for entry in elf.dynamic.iter().flat_map(|d| &d.dyns) {
        let text = || elf.dynstrtab.get_at(usize::try_from(entry.d_val).ok()?);
        match entry.d_tag {
            DT_NEEDED => out.needed.extend(text().map(str::to_owned)),
            DT_RPATH => out.rpath.extend(text().map(split).unwrap_or_default()),
            DT_RUNPATH => out.runpath.extend(text().map(split).unwrap_or_default()),
            _ => {}
        }
    }
    if !out.runpath.is_empty() {
        out.rpath.clear();
    }
    Some(out)
}

/// Finds libraries in one image.
#[derive(Debug)]
pub struct Loader<'a> {
    root: &'a Root,
    /// From /etc/ld.so.conf, then the defaults.
    directories: Vec<String>,
    objects: BTreeMap<String, Option<Object>>,
}

impl<'a> Loader<'a> {
    /// Reads /etc/ld.so.conf.
    pub fn new(root: &'a Root) -> Loader<'a> {
        let mut directories = Vec::new();
        conf(root, "/etc/ld.so.conf", 0, &mut directories);
        directories.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned));
        let mut seen = BTreeSet::new();
        directories.retain(|d| seen.insert(d.clone()));
        Loader { root, directories, objects: BTreeMap::new() }
    }

    /// The headers of a file, read once; `None` if it is no ELF file.
    pub fn object(&mut self, path: &str) -> Result<Option<Object>, RootError> {
        if let Some(known) = self.objects.get(path) {
            return Ok(known.clone());
        }
        let found = object(&self.root.read(path, MAX_FILE)?);
        self.objects.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    /// The loader and every library that a program or library (links resolved) pulls in, itself excluded, by path.
    pub fn closure(&mut self, path: &str, notes: &mut Vec<Note>) -> Result<Vec<Library>, RootError> {
        let mut out: BTreeMap<String, Library> = BTreeMap::new();
        let Some(top) = self.object(path)? else { return Ok(Vec::new()) };
        if let Some(interpreter) = &top.interpreter {
            let real = self.root.resolve(interpreter)?.path;
            let origin = Origin::elf(path, format!("PT_INTERP {interpreter}"));
            out.insert(real.clone(), Library { path: real, origin });
        }
        // Each with the DT_RPATHs of those that asked for it: they count for the whole chain (ld.so(8)).
        let mut todo = VecDeque::from([(path.to_owned(), top, Vec::<String>::new())]);
        while let Some((at, object, inherited)) = todo.pop_front() {
            let own: Vec<String> = object.rpath.iter().map(|p| expand(p, &at, object.kind)).collect();
            let chain: Vec<String> = own.into_iter().chain(inherited).collect();
            let runpath: Vec<String> = object.runpath.iter().map(|p| expand(p, &at, object.kind)).collect();
            for name in &object.needed {
                let origin = Origin::elf(&at, format!("DT_NEEDED {name}"));
                let first = if object.runpath.is_empty() { &chain } else { &Vec::new() };
                let found = self.find(name, first.iter().chain(&runpath), &at, object.kind);
                if found.is_empty() {
                    notes.push(Note::new(origin, "the image has no such library".to_owned()));
                    continue;
                }
                for (real, library) in found {
                    if out.contains_key(&real) || real == path {
                        continue;
                    }
                    if out.len() == MAX_LIBRARIES {
                        return Err(RootError::TooLarge {
                            path: path.to_owned(),
                            limit: MAX_LIBRARIES as u64,
                            unit: "libraries",
                        });
                    }
                    out.insert(real.clone(), Library { path: real.clone(), origin: origin.clone() });
                    todo.push_back((real, library, chain.clone()));
                }
            }
        }
        Ok(out.into_values().collect())
    }

    /// The file or files that a DT_NEEDED may load: the first that fits, and its variants for newer processors.
    fn find<'b>(
        &mut self,
        name: &str,
        first: impl Iterator<Item = &'b String>,
        from: &str,
        kind: (u16, bool),
    ) -> Vec<(String, Object)> {
        if name.contains('/') {
            return self.fits(&expand(name, from, kind), kind).into_iter().collect();
        }
        let folders: Vec<String> = first.cloned().chain(self.directories.iter().cloned()).collect();
        let mut out = Vec::new();
        for folder in folders {
            let Some(found) = self.fits(&format!("{folder}/{name}"), kind) else { continue };
            out.push(found);
            // Which of these the loader takes depends on the processor (ld.so(8), "glibc-hwcaps").
            let levels = format!("{folder}/glibc-hwcaps");
            for (level, _) in self.root.entries(&levels).unwrap_or_default() {
                out.extend(self.fits(&format!("{levels}/{level}/{name}"), kind));
            }
            break;
        }
        out
    }

    fn fits(&mut self, path: &str, kind: (u16, bool)) -> Option<(String, Object)> {
        let real = self.root.resolve(path).ok().filter(|r| r.kind == Some(Kind::File))?.path;
        let object = self.object(&real).ok().flatten()?;
        (object.kind == kind).then_some((real, object))
    }

    /// A library that a program loads by name at run time, with its closure.
    pub fn loaded(&mut self, name: &str, kind: (u16, bool), origin: &Origin, notes: &mut Vec<Note>) -> Vec<Library> {
        let mut out = Vec::new();
        for (real, _) in self.find(name, std::iter::empty(), "/", kind) {
            out.extend(self.closure(&real, notes).unwrap_or_default());
            out.push(Library { path: real, origin: origin.clone() });
        }
        out.sort();
        out.dedup_by(|a, b| a.path == b.path);
        out
    }
}

/// `$ORIGIN`, `$LIB`, `$PLATFORM` of ld.so(8).
fn expand(path: &str, from: &str, kind: (u16, bool)) -> String {
    let folder = from.rsplit_once('/').map_or("", |(d, _)| d);
    let lib = match kind.0 {
        goblin::elf::header::EM_X86_64 => "lib/x86_64-linux-gnu",
        goblin::elf::header::EM_AARCH64 => "lib/aarch64-linux-gnu",
        _ if kind.1 => "lib64",
        _ => "lib",
    };
    let mut out = path.to_owned();
    for (key, value) in [("ORIGIN", folder), ("LIB", lib)] {
        out = out.replace(&format!("${{{key}}}"), value).replace(&format!("${key}"), value);
    }
    out
}

/// The folders of ld.so.conf, includes followed.
fn conf(root: &Root, path: &str, depth: usize, out: &mut Vec<String>) {
    let Ok(text) = root.text(path, 1 << 20) else { return };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.strip_prefix("include").filter(|r| r.starts_with([' ', '\t'])) {
            Some(_) if depth == MAX_CONF_DEPTH => {}
            Some(pattern) => {
                // In practice always `/etc/ld.so.conf.d/*.conf`: a pattern in the last component.
                let pattern = pattern.trim();
                let Some((folder, last)) = pattern.rsplit_once('/') else { continue };
                let suffix = last.strip_prefix('*');
                for (name, _) in root.entries(folder).unwrap_or_default() {
                    if suffix.map_or(name == last, |s| name.ends_with(s)) {
                        conf(root, &format!("{folder}/{name}"), depth + 1, out);
                    }
                }
            }
            None if line.starts_with('/') => out.push(line.trim_end_matches('/').to_owned()),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;
    use proptest::prelude::*;

    #[test]
    fn ld_so_conf_with_includes() {
        let (_dir, root) = image(&[
            ("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n/opt/lib/ # own\n"),
            ("etc/ld.so.conf.d/b.conf", "/usr/lib/x86_64-linux-gnu\n"),
            ("etc/ld.so.conf.d/a.conf", "/usr/local/lib\ninclude /etc/ld.so.conf.d/a.conf\n"),
            ("etc/ld.so.conf.d/c.txt", "/not/this\n"),
        ]);
        let loader = Loader::new(&root);
        assert_eq!(
            loader.directories,
            ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/opt/lib", "/lib64", "/usr/lib64", "/lib", "/usr/lib"]
        );
    }

    #[test]
    fn origin_and_lib() {
        let kind = (goblin::elf::header::EM_X86_64, true);
        assert_eq!(expand("$ORIGIN/../${LIB}/x", "/opt/bin/p", kind), "/opt/bin/../lib/x86_64-linux-gnu/x");
    }

    #[test]
    fn the_test_program_itself() {
        // This very test is an ELF program with libraries that the machine has: its own root is an image too.
        let root = Root::open(std::path::Path::new("/")).unwrap();
        let me = std::fs::canonicalize(std::env::current_exe().unwrap()).unwrap();
        let mut notes = Vec::new();
        let libraries = Loader::new(&root).closure(me.to_str().unwrap(), &mut notes).unwrap();
        let has = |part: &str| libraries.iter().any(|l| l.path.contains(part));
        assert!(has("libc") && has("ld-linux"), "{libraries:?}");
        assert!(notes.is_empty(), "{notes:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = object(&[b"\x7fELF\x02\x01\x01".as_slice(), &tail].concat());
        }

        #[test]
        fn no_damaged_program_panics(at in 0usize..4096, value: u8, cut in 0usize..100_000) {
            let mut bytes = Vec::new();
            let me = std::fs::File::open("/proc/self/exe").unwrap();
            std::io::Read::read_to_end(&mut std::io::Read::take(me, cut.max(64) as u64), &mut bytes).unwrap();
            if let Some(b) = bytes.get_mut(at) {
                *b = value;
            }
            let _ = object(&bytes);
        }
    }
}
