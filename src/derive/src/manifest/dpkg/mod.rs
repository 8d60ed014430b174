//! dpkg's database: which packages an image has and which files are whose (dpkg(1), deb-control(5)).

mod status;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use status::Package;
use status::States;

use super::root::{Kind, Root, RootError};
use super::{Note, Origin};

const STATUS: &str = "/var/lib/dpkg/status";
/// What dpkg did since it last wrote the status file: one stanza a file, where it was ended in between.
const UPDATES: &str = "/var/lib/dpkg/updates";
/// One file for each package, beside its checksums: images without a package manager (distroless).
const STATUS_PARTS: &str = "/var/lib/dpkg/status.d";
const INFO: &str = "/var/lib/dpkg/info";
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";
/// Bytes of the status file; of one file list.
const MAX_STATUS: u64 = 256 << 20;
const MAX_LIST: u64 = 64 << 20;

/// The database of one image. An image without one has no packages.
#[derive(Debug, Default)]
pub struct Database {
    packages: BTreeMap<String, Package>,
    /// By path with `/bin`, `/lib` … resolved: the place in `names`.
    owners: HashMap<String, u32>,
    names: Vec<String>,
    lists: Vec<Vec<String>>,
    /// Top folders that are links: `/lib` → `/usr/lib`.
    merged: Vec<(String, String)>,
    /// Those, and what an administrator moved: `/var/cache` → `/srv/cache`. They say whose a file is, and not which of a
    /// package's folders are below /var.
    moved: Vec<(String, String)>,
    /// Where a path of a list is in truth, and the package that keeps the path itself (dpkg-divert(1)).
    diverted: HashMap<String, (String, String)>,
    /// What is missing.
    notes: Vec<Note>,
    missing: Option<&'static str>,
}

impl Database {
    /// Reads the database.
    pub fn read(root: &Root) -> Result<Database, RootError> {
        let mut db = Database { moved: links(root), ..Database::default() };
        let top = ["/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/var/run/", "/var/lock/"];
        db.merged = db.moved.iter().filter(|(from, _)| top.contains(&&**from)).cloned().collect();
        db.divert(root);
        let mut known = false;
        match root.text(STATUS, MAX_STATUS) {
            Err(e) if e.is_not_found() => {}
            other => {
                known = true;
                let mut states = States::default();
                states.read(&other?, false);
                for update in updates(root)? {
                    states.read(&root.text(&format!("{UPDATES}/{update}"), MAX_STATUS)?, false);
                }
                db.lists(root, INFO, &states)?;
                db.packages = states.packages();
            }
        }
        db.parts(root)?;
        if !known && db.packages.is_empty() {
            db.missing = Some("the image has no package database (/var/lib/dpkg)");
        } else if db.packages.is_empty() {
            db.missing = Some("the package database names no installed package (/var/lib/dpkg/status)");
        } else if db.owners.is_empty() {
            db.missing = Some("the package database has no file lists (/var/lib/dpkg/info)");
        }
        let without = db.packages.len().saturating_sub(db.names.iter().collect::<BTreeSet<_>>().len());
        if without > 0 && db.missing.is_none() {
            let text = format!(
                "{without} of {} packages have no list of their files: what they own has no rules of theirs",
                db.packages.len()
            );
            db.notes.push(Note::new(Origin::line(STATUS, 1), text));
        }
        Ok(db)
    }

    /// The packages of an image that has a file for each.
    fn parts(&mut self, root: &Root) -> Result<(), RootError> {
        let entries = match root.entries(STATUS_PARTS) {
            Err(e) if e.is_not_found() => return Ok(()),
            other => other?,
        };
        for (file, _) in entries.iter().filter(|(f, _)| !f.ends_with(".md5sums")) {
            let Ok(text) = root.text(&format!("{STATUS_PARTS}/{file}"), MAX_STATUS) else { continue };
            let mut states = States::default();
            states.read(&text, true);
            let found = states.packages();
            let names: Vec<String> = found.keys().cloned().collect();
            self.packages.extend(found);
            // The file's name is the list's, whatever the package is called.
            let Ok(sums) = root.text(&format!("{STATUS_PARTS}/{file}.md5sums"), MAX_LIST) else { continue };
            let paths = with_folders(summed(&sums));
            names.iter().for_each(|name| self.add(name, paths.clone()));
        }
        Ok(())
    }

    /// The file lists in a folder: `NAME.list`, or `NAME.md5sums` where there is no such list.
    fn lists(&mut self, root: &Root, folder: &str, states: &States) -> Result<(), RootError> {
        let entries = match root.entries(folder) {
            Err(e) if e.is_not_found() => return Ok(()),
            other => other?,
        };
        let names: BTreeSet<&str> = entries.iter().map(|(f, _)| f.as_str()).collect();
        for (file, kind) in &entries {
            let Some((stem, ending)) = file.rsplit_once('.').filter(|_| *kind != Kind::Directory) else { continue };
            // A list that an older dpkg left beside those of architectures.
            let named = format!("{stem}:");
            let left = |name: &&str| name.starts_with(&named) && name.ends_with(".list");
            if states.side_by_side(stem) && names.range(named.as_str()..).next().is_some_and(left) {
                continue;
            }
            let sums = ending == "md5sums" && !names.contains(format!("{stem}.list").as_str());
            let (name, architecture) = stem.split_once(':').map_or((stem, None), |(n, a)| (n, Some(a)));
            if !(ending == "list" || sums) || !states.installed(name, architecture) {
                continue;
            }
            let text = match root.text(&format!("{folder}/{file}"), MAX_LIST) {
                Err(e @ RootError::TooLarge { .. }) => return Err(e),
                Err(_) => continue,
                Ok(text) => text,
            };
            let paths: Vec<String> = match sums {
                false => text.lines().filter(|l| !l.is_empty()).map(absolute).collect(),
                true => with_folders(summed(&text)),
            };
            self.add(name, paths);
        }
        Ok(())
    }

    fn add(&mut self, name: &str, paths: Vec<String>) {
        let paths: Vec<String> = paths.iter().map(|p| self.place(name, p)).collect();
        let id = self.names.len() as u32;
        let owned: Vec<String> = paths.iter().map(|p| real(&self.moved, p)).collect();
        self.owners.extend(owned.into_iter().map(|p| (p, id)));
        let paths = paths.iter().map(|p| real(&self.merged, p)).collect();
        self.names.push(name.to_owned());
        self.lists.push(paths);
    }

    /// Where a path of a package's list is in truth.
    fn place(&self, name: &str, path: &str) -> String {
        match self.diverted.get(path) {
            Some((to, by)) if by != name => to.clone(),
            _ => path.to_owned(),
        }
    }

    /// Reads the diversions: three lines each, from, to, and the package (`:` for the administrator).
    fn divert(&mut self, root: &Root) {
        let text = root.text(DIVERSIONS, MAX_STATUS).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for part in lines.chunks_exact(3) {
            self.diverted.insert(part[0].to_owned(), (part[1].to_owned(), part[2].to_owned()));
        }
    }

    /// Why it is not known which files are whose; `None` where it is.
    pub fn missing(&self) -> Option<&'static str> {
        self.missing
    }

    /// What of the database is missing.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// An installed package by name.
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.get(name)
    }

    /// The package that ships a path (links resolved). Folders that many ship belong to the last by name.
    pub fn owner(&self, path: &str) -> Option<&Package> {
        let id = self.owners.get(path).or_else(|| self.owners.get(&real(&self.moved, path)))?;
        self.packages.get(self.names.get(*id as usize)?)
    }

    /// The files and folders of a package.
    pub fn files(&self, name: &str) -> impl Iterator<Item = &str> {
        let lists = self.names.iter().zip(&self.lists).filter(move |(n, _)| *n == name);
        lists.flat_map(|(_, list)| list.iter().map(String::as_str))
    }

    /// The installed packages of one source package, by name.
    pub fn siblings<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = &'a Package> {
        self.packages.values().filter(move |p| p.source() == package.source())
    }
}

/// The folders near the root that are links to others, with those, each with a `/` at its end; the longest first.
fn links(root: &Root) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for above in ["/var/lib/", "/var/", "/usr/", "/"] {
        for (name, kind) in root.entries(above).unwrap_or_default() {
            let path = format!("{above}{name}");
            let to = root.resolve(&path).ok().filter(|to| kind == Kind::Link && to.kind != Some(Kind::File));
            out.extend(to.map(|to| (format!("{path}/"), format!("{}/", to.path))));
        }
    }
    out
}

/// A path of a file list as it is called with these links resolved.
fn real(links: &[(String, String)], path: &str) -> String {
    let found = links.iter().find_map(|(from, to)| Some(format!("{to}{}", path.strip_prefix(from.as_str())?)));
    found.unwrap_or_else(|| path.to_owned())
}

/// A path of a list, which dpkg takes without its leading `/` and `./`.
fn absolute(path: &str) -> String {
    let mut rest = path;
    while let Some(next) = rest.strip_prefix('/').or_else(|| rest.strip_prefix("./")) {
        rest = next;
    }
    format!("/{rest}")
}

/// Files relative to the root as absolute paths, with the folders above them.
fn with_folders<'a>(files: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut out = BTreeSet::new();
    for file in files {
        let path = absolute(file);
        let folders = path.match_indices('/').skip(1).map(|(at, _)| path[..at].to_owned());
        out.extend(folders.collect::<Vec<_>>());
        out.insert(path);
    }
    out.into_iter().collect()
}

/// The files of a list of checksums: the sum, a blank, a blank or `*`, the path (md5sum(1)).
fn summed(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|l| l.split_once(' ')?.1.strip_prefix([' ', '*']))
}

/// The names of the files in [`UPDATES`] that dpkg reads: digits, all of one length.
fn updates(root: &Root) -> Result<Vec<String>, RootError> {
    let entries = match root.entries(UPDATES) {
        Err(e) if e.is_not_found() => return Ok(Vec::new()),
        other => other?,
    };
    let digits = |name: &str| name.bytes().all(|b| b.is_ascii_digit());
    Ok(entries.into_iter().filter(|(f, kind)| digits(f) && *kind != Kind::Directory).map(|(f, _)| f).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    const STATUS_TEXT: &str = "Package: nginx-common\nStatus: install ok installed\nPriority: optional\nSource: nginx (1.2)\n\
        Conffiles:\n /etc/nginx/nginx.conf 0123\n /etc/nginx/old 0 obsolete\nDescription: x\n y\n\nPackage: gone\nStatus: deinstall ok config-files\n\n\
        Package: libc6\nStatus: install ok installed\nPriority: optional\nEssential: no\n\nPackage: nginx\nStatus: install ok installed\n";

    #[test]
    fn owners_over_merged_usr() {
        let (_dir, root) = image(&[
            ("var/lib/dpkg/status", STATUS_TEXT),
            ("var/lib/dpkg/info/nginx-common.list", "/.\n/lib\n/lib/systemd/system/nginx.service\n"),
            ("var/lib/dpkg/info/libc6:amd64.list", "/usr/lib/x/libc.so.6\n"),
            ("var/lib/dpkg/info/gone.list", "/etc/gone\n"),
            ("usr/lib/x", ""),
            ("lib", "-> usr/lib"),
        ]);
        let db = Database::read(&root).unwrap();
        let owner = |p: &str| db.owner(p).map(|p| p.name.as_str());
        assert_eq!(owner("/usr/lib/systemd/system/nginx.service"), Some("nginx-common"));
        assert_eq!(owner("/lib/systemd/system/nginx.service"), Some("nginx-common"));
        assert_eq!(owner("/usr/lib/x/libc.so.6"), Some("libc6"));
        assert_eq!(owner("/etc/gone"), None);
        let common = db.package("nginx-common").unwrap();
        assert_eq!(common.conffiles, ["/etc/nginx/nginx.conf", "/etc/nginx/old"]);
        assert_eq!(db.siblings(common).map(|p| p.name.as_str()).collect::<Vec<_>>(), ["nginx", "nginx-common"]);
        assert!(!common.is_base());
    }

    #[test]
    fn an_image_without_dpkg_has_no_packages() {
        let (_dir, root) = image(&[("etc/x", "")]);
        let db = Database::read(&root).unwrap();
        assert!(db.owner("/etc/x").is_none());
        assert!(db.missing().unwrap().contains("no package database"));
        let (_dir, root) = image(&[("var/lib/dpkg/status", STATUS_TEXT)]);
        let db = Database::read(&root).unwrap();
        assert!(db.package("libc6").is_some());
        assert!(db.missing().unwrap().contains("no file lists"));
    }

    #[test]
    fn distroless_images_have_one_file_a_package() {
        let (_dir, root) = image(&[
            ("var/lib/dpkg/status.d/web", "Package: web-common\nSource: web (1)\nPriority: optional\nVersion: 1\n"),
            ("var/lib/dpkg/status.d/web.md5sums", "0123  usr/sbin/web\n4567  lib/systemd/system/web.service\n"),
            ("var/lib/dpkg/status.d/none", "Package: none\nPriority: required\n"),
            ("usr/lib/x", ""),
            ("lib", "-> usr/lib"),
        ]);
        let db = Database::read(&root).unwrap();
        assert_eq!(db.owner("/usr/lib/systemd/system/web.service").unwrap().name, "web-common");
        assert!(db.files("web-common").any(|p| p == "/usr/sbin"));
        assert_eq!(db.package("web-common").unwrap().source(), "web");
        assert!(db.package("none").unwrap().is_base());
        assert!(db.missing().is_none());
    }
}
