//! Settings that name paths: what the service may write and read because its unit says so (systemd.exec(5)).

use super::specifier;
use super::unit::Unit;
use crate::manifest::root::Root;
use crate::manifest::{Note, Origin, PathFact};

/// What they give.
#[derive(Debug, Default)]
pub struct Paths {
    /// Written and read with all that is below.
    pub writable: Vec<PathFact>,
    /// Read with all that is below.
    pub readable: Vec<PathFact>,
    /// Appended to as a standard stream.
    pub streams: Vec<PathFact>,
    /// PIDFile=.
    pub pid: Option<PathFact>,
}

/// A folder that RootDirectory= makes the root, or the image itself.
struct Names<'a> {
    root: &'a Root,
    inside: &'a Root,
    unit: &'a Unit,
    /// RootDirectory=, links resolved, where it is not the image's root.
    jail: Option<String>,
}

/// Reads a unit's. `inside` is the root that the service sees.
pub fn read(root: &Root, inside: &Root, unit: &Unit, notes: &mut Vec<Note>) -> Paths {
    let jail = unit.last("Service", "RootDirectory").map(|e| e.value.trim_end_matches('/')).filter(|j| !j.is_empty());
    let jail = jail.map(|j| root.resolve(j).map_or_else(|_| j.to_owned(), |r| r.path));
    let names = Names { root, inside, unit, jail };
    let mut out = Paths::default();
    for (word, origin) in unit.words("Service", &["ReadWritePaths", "ReadWriteDirectories"], notes) {
        // `-`: only if it exists; `+`: below RootDirectory=.
        let path = word.trim_start_matches(['-', '+']);
        out.writable.extend(names.named(path, word.starts_with('+') || word.starts_with("-+"), origin, notes));
    }
    for (key, list) in [("BindPaths", &mut out.writable), ("BindReadOnlyPaths", &mut out.readable)] {
        for (word, origin) in unit.words("Service", &[key], notes) {
            // `SOURCE:DESTINATION:OPTIONS`, and the kernel names it by the destination.
            let word = word.strip_prefix('-').unwrap_or(&word);
            let mut parts = split_colons(word).into_iter();
            let source = parts.next().unwrap_or_default();
            let path = parts.next().filter(|p| !p.is_empty()).unwrap_or(source);
            list.extend(names.named(&path, true, origin, notes));
        }
    }
    for (word, origin) in unit.words("Service", &["TemporaryFileSystem"], notes) {
        let (path, options) = word.split_once(':').unwrap_or((&word, ""));
        let read_only = options.split(',').any(|o| o == "ro");
        let list = if read_only { &mut out.readable } else { &mut out.writable };
        list.extend(names.named(path, true, origin, notes));
    }
    // `PATH:NAME:OPTIONS`: the service may open it again by its path, too.
    for entry in unit.list("Service", "OpenFile") {
        let mut parts = split_colons(&entry.value).into_iter();
        let path = parts.next().unwrap_or_default();
        let read_only = parts.nth(1).is_some_and(|o| o.split(',').any(|o| o == "read-only"));
        let fact = names.named(&path, true, &entry.origin, notes);
        if !read_only {
            out.streams.extend(fact.clone());
        }
        out.readable.extend(fact);
    }
    for key in ["StandardOutput", "StandardError"] {
        let Some(entry) = unit.last("Service", key) else { continue };
        let path = ["file:", "append:", "truncate:"].iter().find_map(|p| entry.value.strip_prefix(p));
        out.streams.extend(path.and_then(|p| names.named(p, false, &entry.origin, notes)));
    }
    if let Some(entry) = unit.last("Service", "StandardInput")
        && let Some(path) = entry.value.strip_prefix("file:")
    {
        out.readable.extend(names.named(path, false, &entry.origin, notes));
    }
    out.pid = unit.last("Service", "PIDFile").and_then(|entry| {
        let path = if entry.value.starts_with('/') { entry.value.clone() } else { format!("/run/{}", entry.value) };
        if path.split('/').any(|part| part == "..") {
            let text = format!("`{}` is not normal: systemd passes over it", entry.value);
            notes.push(Note::new(entry.origin.clone(), text));
            return None;
        }
        names.named(&path, false, &entry.origin, notes)
    });
    out
}

impl Names<'_> {
    /// The path that a word names, links resolved. `within`: it starts at the service's own root.
    fn named(&self, text: &str, within: bool, origin: &Origin, notes: &mut Vec<Note>) -> Option<PathFact> {
        let found = specifier::expand(text, &self.unit.name).map_err(|e| e.to_string()).and_then(|path| {
            if !path.starts_with('/') {
                return Err(format!("`{path}` is not an absolute path"));
            }
            let Some(jail) = self.jail.as_deref().filter(|_| !within) else {
                return self.inside.resolve(&path).map_err(|e| e.to_string());
            };
            // Outside its root the service sees nothing; what is below it has a shorter name.
            let real = self.root.resolve(&path).map_err(|e| e.to_string())?.path;
            match real.strip_prefix(jail) {
                Some("") => self.inside.resolve("/").map_err(|e| e.to_string()),
                Some(rest) if rest.starts_with('/') => self.inside.resolve(rest).map_err(|e| e.to_string()),
                _ => Err(format!("`{path}` is not below the service's RootDirectory=; `+{path}` names it within")),
            }
        });
        match found {
            Ok(resolved) => Some(PathFact::new(resolved.path, origin.clone())),
            Err(e) => {
                notes.push(Note::new(origin.clone(), e));
                None
            }
        }
    }
}

/// Splits at `:`, which a backslash keeps.
fn split_colons(word: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        let last = out.len() - 1;
        match c {
            '\\' => out[last].extend(chars.next()),
            ':' => out.push(String::new()),
            c => out[last].push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    #[test]
    fn every_setting() {
        let (_dir, root) = image(&[(
            "usr/lib/systemd/system/a.service",
            "[Service]\nExecStart=/a\nReadWritePaths=\"/srv/with space\" -/srv/b\nReadWriteDirectories=/old\n\
             BindPaths=/srv/data:/data /srv/other\nBindReadOnlyPaths=-/etc/ssl:/certs:rbind\n\
             TemporaryFileSystem=/scratch:rw /none:ro\nStandardOutput=append:/var/log/a.log\n\
             OpenFile=/etc/a.conf:conf:read-only\nOpenFile=/srv/a\\:b:b:append,graceful\nPIDFile=o/../x\n",
        )]);
        let mut notes = Vec::new();
        let unit = Unit::load(&root, "a.service", &mut notes).unwrap();
        let got = read(&root, &root, &unit, &mut notes);
        let paths = |list: &[PathFact]| list.iter().map(|f| f.path.clone()).collect::<Vec<_>>();
        assert_eq!(paths(&got.writable), ["/srv/with space", "/srv/b", "/old", "/data", "/srv/other", "/scratch"]);
        assert_eq!(paths(&got.readable), ["/certs", "/none", "/etc/a.conf", "/srv/a:b"]);
        assert_eq!(paths(&got.streams), ["/srv/a:b", "/var/log/a.log"]);
        assert!(got.pid.is_none() && notes.len() == 1);
    }
}
