//! ModSecurity's configuration: the files that it includes, its data, logs and folders (libmodsecurity 3).

use std::collections::BTreeSet;

use crate::manifest::root::Root;
use crate::manifest::{Note, Origin, PathFact};

/// Files in all, and bytes of one.
const MAX_FILES: usize = 2000;
const MAX_FILE: u64 = 16 << 20;

/// What it opens.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub files: Vec<PathFact>,
    pub logs: Vec<PathFact>,
    pub folders: Vec<PathFact>,
}

/// Reads the file and those that it includes.
pub(super) fn read(root: &Root, first: &PathFact, notes: &mut Vec<Note>) -> Found {
    let mut out = Found::default();
    let mut seen = BTreeSet::from([first.path.clone()]);
    let mut todo = vec![first.path.clone()];
    while let Some(file) = todo.pop() {
        let Ok(text) = root.text(&file, MAX_FILE) else {
            notes.push(Note::new(
                first.origin.clone(),
                format!("`{file}` cannot be read: what it names is not derived"),
            ));
            continue;
        };
        let folder = file.rsplit_once('/').map_or("", |(d, _)| d);
        let full = |name: &str| if name.starts_with('/') { name.to_owned() } else { format!("{folder}/{name}") };
        for (n, line) in (1u32..).zip(text.lines()) {
            let origin = Origin::line(&file, n);
            let line = line.trim();
            if line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            let value = value.trim().trim_matches('"');
            let list = match key.to_ascii_lowercase().as_str() {
                "include" | "includeoptional" => {
                    let paths = root.glob(&full(value)).unwrap_or_default();
                    for path in paths.iter().filter_map(|p| root.resolve(p).ok()).map(|r| r.path) {
                        if seen.len() < MAX_FILES && seen.insert(path.clone()) {
                            out.files.push(PathFact::new(path.clone(), origin.clone()));
                            todo.push(path);
                        }
                    }
                    continue;
                }
                "secauditlog" | "secauditlog2" | "secdebuglog" => &mut out.logs,
                "secunicodemapfile" | "secgeolookupdb" => &mut out.files,
                "sectmpdir" | "secdatadir" | "secuploaddir" | "secauditlogstoragedir" => &mut out.folders,
                _ => {
                    for (at, _) in line.match_indices("FromFile ") {
                        let name = line[at + 9..].split(['"', ' ']).next().unwrap_or_default();
                        if let Ok(real) = root.resolve(&full(name)) {
                            out.files.push(PathFact::new(real.path, origin.clone()));
                        }
                    }
                    continue;
                }
            };
            let path = value.split([' ', '\t']).next().unwrap_or_default();
            match root.resolve(&full(path)) {
                Ok(real) if !path.is_empty() && real.path != "/dev/stdout" => {
                    list.push(PathFact::new(real.path, origin));
                }
                _ => {}
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    #[test]
    fn includes_data_logs_and_folders() {
        let (_dir, root) = image(&[
            (
                "srv/m/main.conf",
                "# Include /no\nInclude rules/*.conf\nSecAuditLog /var/log/audit.log\nSecDataDir /var/cache/m\n",
            ),
            ("srv/m/rules/a.conf", "SecRule ARGS \"@pmFromFile bad.data\" \"id:1\"\nInclude ../main.conf\n"),
            ("srv/m/rules/bad.data", "x"),
        ]);
        let found = read(&root, &PathFact::new("/srv/m/main.conf", Origin::line("/n", 1)), &mut Vec::new());
        let paths = |list: &[PathFact]| list.iter().map(|f| f.path.clone()).collect::<Vec<_>>();
        assert_eq!(paths(&found.files), ["/srv/m/rules/a.conf", "/srv/m/rules/bad.data"]);
        assert_eq!(paths(&found.logs), ["/var/log/audit.log"]);
        assert_eq!(paths(&found.folders), ["/var/cache/m"]);
    }
}
