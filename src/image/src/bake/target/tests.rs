use std::path::Path;

use super::*;
use crate::bake::image::{Change, Node};
use crate::bake::tests::{disk, picture, root};

fn change() -> [Change; 1] {
    let node = Node::File { bytes: b"new".to_vec(), mode: 0o644, owner: (0, 0) };
    [Change { path: "usr/lib/kiln/policy.pdl".into(), node: Some(node) }]
}

fn has(path: &Path) -> bool {
    crate::bake::open(path, None).unwrap().find("usr/lib/kiln/policy.pdl").unwrap().is_some()
}

/// Of each format: nothing is changed before the commit, nor if there is none; another bake waits until then.
#[test]
fn what_is_written_aside_counts_from_the_commit_on() {
    let dir = root();
    let (_keep, disk) = disk(dir.path());
    for path in [dir.path(), &disk] {
        let whole = || {
            let mut seen = picture(if path.is_dir() { path } else { path.parent().unwrap() });
            // A copy beside a disk changes the time of the folder, which is not the image's.
            seen.retain(|name, _| path.is_dir() || !name.is_empty());
            seen
        };
        let before = whole();
        let written = open(path, None, None).unwrap().write_aside(&change(), 1_700_000_000).unwrap();
        assert!(!has(path), "{}", path.display());
        assert!(matches!(open(path, None, None).err(), Some(BakeError::Busy { .. })));
        drop(written);
        assert!(!has(path));
        assert_eq!(whole(), before, "{}", path.display());
        open(path, None, None).unwrap().write_aside(&change(), 1_700_000_000).unwrap().commit().unwrap();
        assert!(has(path));
    }
}
