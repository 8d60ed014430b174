//! Links in served folders: the kernel names what they lead to by its own path.

use crate::manifest::root::{Kind, Root};
use crate::manifest::{Note, Origin, PathFact};

/// Entries looked at, over all folders.
const MAX_ENTRIES: usize = 50_000;

/// What the links lead to.
#[derive(Debug, Default)]
pub(super) struct Linked {
    /// Files.
    pub files: Vec<PathFact>,
    /// Folders.
    pub folders: Vec<PathFact>,
}

/// Follows the links in `trees` that lead out of all of them.
pub(super) fn outside(root: &Root, trees: &[PathFact], notes: &mut Vec<Note>) -> Linked {
    let literal = || trees.iter().filter(|t| !t.pattern);
    let inside = |path: &str| {
        literal().any(|t| path.strip_prefix(t.path.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('/')))
    };
    let mut out = Linked::default();
    let mut left = MAX_ENTRIES;
    for tree in literal() {
        let mut todo = vec![tree.path.clone()];
        while let Some(folder) = todo.pop() {
            // What cannot be listed is not served from the image either.
            for (name, kind) in root.entries(&folder).unwrap_or_default() {
                if left == 0 {
                    let text = "the folder holds more than 50000 entries; links among the rest are not looked at";
                    notes.push(Note::new(tree.origin.clone(), text));
                    return out;
                }
                left -= 1;
                let path = format!("{folder}/{name}");
                match kind {
                    Kind::Directory => todo.push(path),
                    Kind::Link => follow(root, &path, &inside, &mut out, notes),
                    _ => {}
                }
            }
        }
    }
    out
}

fn follow(root: &Root, path: &str, inside: &impl Fn(&str) -> bool, out: &mut Linked, notes: &mut Vec<Note>) {
    let Ok(target) = root.resolve(path) else { return };
    if inside(&target.path) {
        return;
    }
    let origin = Origin::known("link", format!("{path} -> {}", target.path));
    match target.kind {
        Some(Kind::File) => out.files.push(PathFact::new(target.path, origin)),
        Some(Kind::Directory) if target.path.matches('/').count() < 2 => {
            notes.push(Note::new(
                origin,
                "a whole top folder is served by a link; write the rule by hand if it is meant",
            ));
        }
        Some(Kind::Directory) => out.folders.push(PathFact::new(target.path, origin)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    #[test]
    fn targets_outside_count_once_and_top_folders_do_not() {
        let (_dir, root) = image(&[
            ("srv/www/a/index.html", "x"),
            ("srv/www/a/same", "-> ../a/index.html"),
            ("srv/www/js", "-> /usr/share/javascript"),
            ("usr/share/javascript/x.js", "x"),
            ("srv/www/a/logo.png", "-> ../../../usr/share/logo.png"),
            ("usr/share/logo.png", "x"),
            ("srv/www/all", "-> /"),
            ("srv/www/up", "-> ../../../../etc"),
            ("srv/www/gone", "-> /nowhere"),
            ("srv/www/loop", "-> loop"),
            ("etc/passwd", "x"),
        ]);
        let mut notes = Vec::new();
        let trees = [PathFact::new("/srv/www", Origin::line("/n", 1))];
        let linked = outside(&root, &trees, &mut notes);
        let paths = |list: &[PathFact]| list.iter().map(|f| f.path.clone()).collect::<Vec<_>>();
        assert_eq!(paths(&linked.files), ["/usr/share/logo.png"]);
        assert_eq!(paths(&linked.folders), ["/usr/share/javascript"]);
        assert_eq!(linked.folders[0].origin.to_string(), "link: /srv/www/js -> /usr/share/javascript");
        assert_eq!(notes.len(), 2, "{notes:?}");
    }
}
