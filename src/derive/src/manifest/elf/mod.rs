//! ELF files: the loader and the closure of libraries, as ld.so(8) of glibc and the loader of musl find them.

mod cache;
mod folders;
mod object;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cache::Cache;
pub use object::{Need, Object, object};

use super::root::{Kind, Root, RootError};
use super::{Library, Note, Origin};

/// Bytes of one ELF file that is read.
const MAX_FILE: u64 = 512 << 20;
/// Libraries of one closure.
const MAX_LIBRARIES: usize = 2000;
/// e_machine of x86-64.
pub const X86_64: u16 = 62;
const AARCH64: u16 = 183;
/// Names that are part of musl's own libc.so.
const MUSL_OWN: [&str; 8] = ["libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet.", "ld-musl-"];

/// What the environment tells the loader (ld.so(8)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// LD_LIBRARY_PATH.
    pub paths: Vec<String>,
    /// LD_PRELOAD and LD_AUDIT, each with what sets it.
    pub preload: Vec<(String, Origin)>,
}

/// Finds libraries in one image.
#[derive(Debug)]
pub struct Loader<'a> {
    root: &'a Root,
    /// From /etc/ld.so.conf.
    configured: Vec<String>,
    cache: Cache,
    built_in: BTreeMap<String, Interpreter>,
    objects: BTreeMap<String, Option<Object>>,
}

/// What is known of an interpreter.
#[derive(Debug, Clone, Default)]
struct Interpreter {
    musl: bool,
    /// The folders that it has built in.
    folders: Vec<String>,
    /// Whether it looks into the folders of processors that glibc had before 2.37.
    legacy: bool,
}

/// How one program's loader searches.
struct Search<'e> {
    musl: bool,
    /// Whether it looks into folders below these, by the names of processors.
    legacy: bool,
    /// Behind the paths of objects and of the environment, and the cache.
    folders: Vec<String>,
    /// Those of them that the loader has built in.
    built_in: Vec<String>,
    /// What `$LIB` may mean, the likeliest first.
    lib: Vec<String>,
    environment: &'e Environment,
}

/// A library that was found.
struct Found {
    /// The path by which it is opened, and with links resolved.
    opened: String,
    real: String,
    object: Object,
}

/// An object whose needs are still to be looked up, with the DT_RPATHs of those that asked for it: they count for the whole
/// chain (ld.so(8)).
struct Pending {
    at: String,
    /// Its path as the loader opened it, links and all: what `$ORIGIN` follows.
    opened: String,
    object: Object,
    inherited: Vec<String>,
}

impl<'a> Loader<'a> {
    /// Reads /etc/ld.so.conf and /etc/ld.so.cache.
    pub fn new(root: &'a Root) -> Loader<'a> {
        Loader {
            root,
            configured: folders::configured(root),
            cache: Cache::read(root),
            built_in: BTreeMap::new(),
            objects: BTreeMap::new(),
        }
    }

    /// The image.
    pub fn root(&self) -> &'a Root {
        self.root
    }

    /// The headers of a file, read once; `None` if it is not an ELF file.
    pub fn object(&mut self, path: &str) -> Result<Option<Object>, RootError> {
        if let Some(known) = self.objects.get(path) {
            return Ok(known.clone());
        }
        let found = object(&self.root.read(path, MAX_FILE)?);
        self.objects.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    /// How the loader at `interpreter` searches.
    fn search<'e>(&mut self, interpreter: Option<&str>, kind: (u16, bool), environment: &'e Environment) -> Search<'e> {
        let interpreter = interpreter.unwrap_or_default();
        if !self.built_in.contains_key(interpreter) {
            let bytes = self.root.read(interpreter, MAX_FILE).unwrap_or_default();
            let found = Interpreter {
                musl: folders::is_musl(interpreter, &bytes),
                folders: folders::built_in(&bytes),
                legacy: folders::legacy(&bytes),
            };
            self.built_in.insert(interpreter.to_owned(), found);
        }
        let Interpreter { musl, folders: own, legacy } = self.built_in.get(interpreter).cloned().unwrap_or_default();
        if musl {
            let folders = folders::musl(self.root, interpreter);
            return Search { musl, legacy: false, folders, built_in: Vec::new(), lib: Vec::new(), environment };
        }
        let mut seen = BTreeSet::new();
        let mut folders: Vec<String> = self.configured.clone();
        let built_in = if own.is_empty() { folders::usual() } else { own.clone() };
        folders.extend(built_in.iter().cloned());
        folders.retain(|f| seen.insert(f.clone()));
        let mut lib: Vec<String> = own.first().map(|f| f.trim_start_matches('/').to_owned()).into_iter().collect();
        lib.extend(usual_lib(kind).into_iter().map(str::to_owned));
        Search { musl, legacy, folders, built_in, lib, environment }
    }

    /// The loader and every library that a program or library (links resolved) pulls in, itself excluded, by path.
    pub fn closure(&mut self, path: &str, env: &Environment, notes: &mut Vec<Note>) -> Result<Vec<Library>, RootError> {
        let Some(top) = self.object(path)? else { return Ok(Vec::new()) };
        let search = self.search(top.interpreter.as_deref(), top.kind, env);
        let mut out: BTreeMap<String, Library> = BTreeMap::new();
        // What is loaded already is not looked for again, wherever it was found.
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut todo = VecDeque::new();
        if let Some(interpreter) = &top.interpreter {
            let origin = Origin::elf(path, format!("PT_INTERP {interpreter}"));
            match self.root.resolve(interpreter).ok().filter(|r| r.kind == Some(Kind::File)) {
                Some(real) => {
                    names.extend(real.path.rsplit('/').next().map(str::to_owned));
                    names.extend(self.object(&real.path).ok().flatten().and_then(|o| o.soname));
                    out.insert(real.path.clone(), Library { path: real.path, origin });
                }
                None => {
                    notes.push(Note::new(origin, "the image has no such loader: the program cannot start".to_owned()))
                }
            }
            for (name, origin) in self.preloaded(&search) {
                let need = Need { tag: "LD_PRELOAD", name, optional: false };
                let nobody = Pending {
                    at: path.to_owned(),
                    opened: path.to_owned(),
                    // It is looked for as what the program itself needs.
                    object: Object { needed: Vec::new(), ..top.clone() },
                    inherited: vec![],
                };
                self.need(&need, &nobody, &search, origin, &mut names, &mut out, &mut todo, notes)?;
            }
        }
        todo.push_back(Pending { at: path.to_owned(), opened: path.to_owned(), object: top, inherited: Vec::new() });
        while let Some(pending) = todo.pop_front() {
            for need in &pending.object.needed {
                let origin = Origin::elf(&pending.at, format!("{} {}", need.tag, need.name));
                self.need(need, &pending, &search, origin, &mut names, &mut out, &mut todo, notes)?;
            }
        }
        out.remove(path);
        Ok(out.into_values().collect())
    }

    /// The libraries of LD_PRELOAD and of /etc/ld.so.preload.
    fn preloaded(&self, search: &Search<'_>) -> Vec<(String, Origin)> {
        let mut out = search.environment.preload.clone();
        if search.musl {
            return out;
        }
        let text = self.root.text("/etc/ld.so.preload", 1 << 20).unwrap_or_default();
        for (n, line) in (1u32..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let names = line.split([' ', '\t', ':']).filter(|w| !w.is_empty());
            out.extend(names.map(|name| (name.to_owned(), Origin::line("/etc/ld.so.preload", n))));
        }
        out
    }

    #[allow(clippy::too_many_arguments)]
    fn need(
        &mut self,
        need: &Need,
        by: &Pending,
        search: &Search<'_>,
        origin: Origin,
        names: &mut BTreeSet<String>,
        out: &mut BTreeMap<String, Library>,
        todo: &mut VecDeque<Pending>,
        notes: &mut Vec<Note>,
    ) -> Result<(), RootError> {
        let own = search.musl && MUSL_OWN.iter().any(|p| need.name.starts_with(p));
        if own || names.contains(&need.name) {
            return Ok(());
        }
        let expand = |list: &[String]| expand_all(list, &by.opened, search);
        let mut chain = expand(&by.object.rpath);
        chain.extend(by.inherited.iter().cloned());
        let runpath = expand(&by.object.runpath);
        let mut first = Vec::new();
        if search.musl {
            first.extend(search.environment.paths.iter().cloned());
            first.extend(runpath.iter().chain(&chain).cloned());
            chain.extend(runpath);
        } else {
            if by.object.runpath.is_empty() {
                first.extend(chain.iter().cloned());
            }
            first.extend(search.environment.paths.iter().cloned());
            first.extend(runpath);
        }
        let found = self.find(&need.name, &first, by, search);
        if found.is_empty() {
            // Who can do without it does not keep another object from finding it.
            if !need.optional {
                names.insert(need.name.clone());
                notes.push(Note::new(origin, "the image has no such library".to_owned()));
            }
            return Ok(());
        }
        names.insert(need.name.clone());
        for Found { opened, real, object } in found {
            // musl knows a library by the name that it looked for alone.
            names.extend(object.soname.clone().filter(|_| !search.musl));
            if out.contains_key(&real) {
                continue;
            }
            if out.len() == MAX_LIBRARIES {
                return Err(RootError::TooLarge {
                    path: by.at.clone(),
                    limit: MAX_LIBRARIES as u64,
                    unit: "libraries",
                });
            }
            out.insert(real.clone(), Library { path: real.clone(), origin: origin.clone() });
            todo.push_back(Pending { at: real, opened, object, inherited: chain.clone() });
        }
        Ok(())
    }

    /// The file or files that a name may load: the first that fits, and its variants for newer processors. `before` are the
    /// folders before the cache.
    fn find(&mut self, name: &str, before: &[String], by: &Pending, search: &Search<'_>) -> Vec<Found> {
        let kind = by.object.kind;
        if name.contains('/') {
            return expand(name, &by.opened, search).iter().find_map(|p| self.fits(p, kind)).into_iter().collect();
        }
        let mut out = Vec::new();
        if before.iter().any(|folder| self.look(folder, name, kind, search, &mut out)) {
            return out;
        }
        // DF_1_NODEFLIB: neither the folders that the loader has built in, nor what the cache has of them.
        let none: &[String] = &[];
        let without = if by.object.no_defaults { &search.built_in } else { none };
        let counts = |path: &str| !without.iter().any(|d| path.strip_prefix(&**d).is_some_and(|r| r.starts_with('/')));
        if !search.musl {
            for (path, some) in self.cache.paths(name).to_vec() {
                let Some(found) = self.fits(&path, kind) else { continue };
                let ends = !some;
                if counts(&path) {
                    out.push(found);
                    if ends {
                        return out;
                    }
                } else if ends {
                    // The loader asks the cache for one library, and drops it.
                    break;
                }
            }
        }
        let behind = search.folders.iter().filter(|folder| counts(&format!("{folder}/")));
        let _ = behind.into_iter().any(|folder| self.look(folder, name, kind, search, &mut out));
        out
    }

    /// Looks into one folder; whether the search ends here.
    fn look(&mut self, folder: &str, name: &str, kind: (u16, bool), search: &Search<'_>, out: &mut Vec<Found>) -> bool {
        let plain = self.fits(&format!("{folder}/{name}"), kind);
        if !search.musl {
            // Which of these the loader takes depends on the processor (ld.so(8), "glibc-hwcaps").
            let levels = format!("{folder}/glibc-hwcaps");
            for (level, _) in self.root.entries(&levels).unwrap_or_default() {
                out.extend(self.fits(&format!("{levels}/{level}/{name}"), kind));
            }
            if search.legacy {
                for below in folders::of_processors(self.root, folder) {
                    out.extend(self.fits(&format!("{below}/{name}"), kind));
                }
            }
        }
        // A variant alone leaves processors without it to the next folder.
        let ends = plain.is_some();
        out.extend(plain);
        ends
    }

    fn fits(&mut self, path: &str, kind: (u16, bool)) -> Option<Found> {
        let real = self.root.resolve(path).ok().filter(|r| r.kind == Some(Kind::File))?.path;
        let object = self.object(&real).ok().flatten()?;
        (object.kind == kind).then(|| Found { opened: path.to_owned(), real, object })
    }

    /// A library that a program loads by name at run time, with its closure.
    pub fn loaded(&mut self, name: &str, kind: (u16, bool), origin: &Origin, notes: &mut Vec<Note>) -> Vec<Library> {
        let none = Environment::default();
        let interpreter = (kind == (X86_64, true)).then_some("/lib64/ld-linux-x86-64.so.2");
        let search = self.search(interpreter, kind, &none);
        let nobody = Pending {
            at: "/".to_owned(),
            opened: "/".to_owned(),
            object: Object { kind, ..Object::default() },
            inherited: Vec::new(),
        };
        let mut out = Vec::new();
        for Found { real, .. } in self.find(name, &[], &nobody, &search) {
            out.extend(self.closure(&real, &none, notes).unwrap_or_default());
            out.push(Library { path: real, origin: origin.clone() });
        }
        out.sort();
        out.dedup_by(|a, b| a.path == b.path);
        out
    }
}

/// What `$LIB` is where the loader does not say: Debian's, and that of distributions without multiarch.
fn usual_lib(kind: (u16, bool)) -> Vec<&'static str> {
    match kind {
        (X86_64, true) => vec!["lib/x86_64-linux-gnu", "lib64", "lib"],
        (AARCH64, _) => vec!["lib/aarch64-linux-gnu", "lib64", "lib"],
        (_, true) => vec!["lib64", "lib"],
        _ => vec!["lib"],
    }
}

/// The folders of a DT_RPATH or DT_RUNPATH of the object that was opened as `from`.
fn expand_all(list: &[String], from: &str, search: &Search<'_>) -> Vec<String> {
    if !search.musl {
        // An empty one among several is the working directory, which is `/` where a unit says no other.
        return list.iter().flat_map(|p| expand(if p.is_empty() { "." } else { p }, from, search)).collect();
    }
    // musl passes over empty ones, and over the whole list for a `$` that it does not know (fixup_rpath() of its dynlink.c).
    let folder = from.rsplit_once('/').map_or("", |(d, _)| d);
    let put = |path: &String| path.replace("${ORIGIN}", folder).replace("$ORIGIN", folder);
    let known = |path: &String| !put(path).contains('$') || folder.contains('$');
    match list.iter().all(known) {
        true => list.iter().filter(|p| !p.is_empty()).map(put).collect(),
        false => Vec::new(),
    }
}

/// `$ORIGIN`, `$LIB`, `$PLATFORM` of ld.so(8): the paths that a text may mean on some machine, the likeliest first.
fn expand(path: &str, from: &str, search: &Search<'_>) -> Vec<String> {
    let folder = from.rsplit_once('/').map_or("", |(d, _)| d).to_owned();
    let platform = ["x86_64", "haswell", "xeon_phi"].map(str::to_owned).to_vec();
    let mut out = vec![path.to_owned()];
    for (key, values) in [("ORIGIN", &vec![folder]), ("LIB", &search.lib), ("PLATFORM", &platform)] {
        if out.iter().any(|p| put(p, key, "") != *p) {
            out = out.iter().flat_map(|p| values.iter().map(|v| put(p, key, v))).collect();
        }
    }
    out
}

/// A word in its place: `${KEY}`, or `$KEY` where no letter, digit or `_` follows.
fn put(path: &str, key: &str, value: &str) -> String {
    let braced = path.replace(&format!("${{{key}}}"), value);
    let plain = format!("${key}");
    let mut parts = braced.split(&plain);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let goes_on = part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        out.push_str(if goes_on { &plain } else { value });
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_and_lib() {
        let environment = Environment::default();
        let search = Search {
            musl: false,
            legacy: false,
            folders: vec![],
            built_in: vec![],
            lib: vec!["lib64".into(), "lib".into()],
            environment: &environment,
        };
        assert_eq!(expand("$ORIGIN/../${LIB}/x", "/opt/bin/p", &search), ["/opt/bin/../lib64/x", "/opt/bin/../lib/x"]);
        assert_eq!(expand("/a", "/opt/bin/p", &search), ["/a"]);
        assert_eq!(expand("$ORIGINAL/$ORIGIN", "/opt/bin/p", &search), ["$ORIGINAL//opt/bin"]);
    }

    #[test]
    fn the_test_program_itself() {
        // This very test is an ELF program with libraries that the machine has: its own root is an image too.
        let root = Root::open(std::path::Path::new("/")).unwrap();
        let me = std::fs::canonicalize(std::env::current_exe().unwrap()).unwrap();
        let mut notes = Vec::new();
        let libraries = Loader::new(&root).closure(me.to_str().unwrap(), &Environment::default(), &mut notes).unwrap();
        let has = |part: &str| libraries.iter().any(|l| l.path.contains(part));
        assert!(has("libc") && has("ld-linux"), "{libraries:?}");
        assert!(notes.is_empty(), "{notes:?}");
    }
}
