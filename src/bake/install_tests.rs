use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::*;

thread_local! {
    /// Steps until one fails, and whether the process "dies" there, so that nothing is undone.
    static FAIL: Cell<Option<(usize, bool)>> = const { Cell::new(None) };
    static DEAD: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn step() -> Result<(), Errno> {
    match FAIL.get() {
        Some((0, dies)) => {
            FAIL.set(None);
            DEAD.set(dies);
            Err(Errno::IO)
        }
        Some((n, dies)) => {
            FAIL.set(Some((n - 1, dies)));
            Ok(())
        }
        None => Ok(()),
    }
}

pub(super) fn killed() -> bool {
    DEAD.replace(false)
}

/// Everything that a user or a package could see of a tree: kind, mode, owner, times, contents.
fn picture(root: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.unwrap();
        let (path, meta) = (entry.path(), entry.path().symlink_metadata().unwrap());
        let what = if meta.is_symlink() {
            format!("-> {}", fs::read_link(path).unwrap().display())
        } else if meta.is_file() {
            hex::encode(fs::read(path).unwrap())
        } else {
            String::new()
        };
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let time = (meta.mtime(), meta.mtime_nsec());
        out.insert(name, format!("{:o} {}:{} {time:?} {what}", meta.mode(), meta.uid(), meta.gid()));
    }
    out
}

fn file(path: &str, text: &str) -> Change {
    let node = Node::File { bytes: text.into(), mode: 0o640, owner: (0, 0) };
    Change { path: path.into(), node: Some(node) }
}

fn stamp() -> Stamp {
    Stamp { owners: rustix::process::geteuid().is_root(), mtime: 1_700_000_000 }
}

/// A tree, and changes of every sort: new file in a new directory, replaced file, removed file, replaced link.
fn scene() -> (tempfile::TempDir, Vec<Change>) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("usr/lib/here")).unwrap();
    for name in ["old", "gone"] {
        fs::write(dir.path().join("usr/lib/here").join(name), name).unwrap();
    }
    symlink("old", dir.path().join("usr/lib/here/link")).unwrap();
    let changes = vec![
        file("usr/lib/here/deep/er/new", "new"),
        Change { path: "usr/lib/here/gone".into(), node: None },
        Change { path: "usr/lib/here/link".into(), node: Some(Node::Link { target: "../elsewhere".into() }) },
        file("usr/lib/here/old", "changed"),
        file("usr/lib/here/zz", "last"),
    ];
    (dir, changes)
}

/// Fails or dies at each step in turn, until there are no more.
fn at_every_step(dies: bool, after: impl Fn(&RootDir)) -> usize {
    let (done, done_changes) = scene();
    install(&RootDir::open(done.path()).unwrap(), &done_changes, stamp()).unwrap();
    for n in 0.. {
        let (dir, changes) = scene();
        let root = RootDir::open(dir.path()).unwrap();
        let before = picture(dir.path());
        FAIL.set(Some((n, dies)));
        let result = install(&root, &changes, stamp());
        let all_passed = FAIL.take().is_some();
        if all_passed {
            result.unwrap();
            return n;
        }
        let failed = result.is_err();
        after(&root);
        let mut now = picture(dir.path());
        if dies {
            // Before there is a journal, nothing keeps the time of the root directory itself.
            now.insert(String::new(), before[""].clone());
        }
        if failed {
            assert_eq!(now, before, "step {n}");
        } else {
            // Only the clearing of the stage was disturbed, and done again.
            let strip = |p: BTreeMap<String, String>| p.into_keys().collect::<Vec<_>>();
            assert_eq!(strip(now), strip(picture(done.path())), "step {n}");
        }
    }
    unreachable!()
}

#[test]
fn a_failure_at_any_step_leaves_the_tree_as_it_was() {
    let steps = at_every_step(false, |_| {});
    assert!(steps > 20, "{steps}");
}

#[test]
fn a_bake_killed_at_any_step_is_undone_by_the_next() {
    let steps = at_every_step(true, |root| {
        recover(root).unwrap();
        assert!(!recover(root).unwrap());
        DEAD.set(false);
    });
    assert!(steps > 20, "{steps}");
}

#[test]
fn a_journal_that_an_image_brings_cannot_reach_out_of_it() {
    let (dir, _) = scene();
    let root = RootDir::open(dir.path()).unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("victim"), "safe").unwrap();
    let stage = dir.path().join(STAGE);
    fs::create_dir(&stage).unwrap();
    fs::write(stage.join("old-0"), "evil").unwrap();
    symlink(outside.path(), dir.path().join("usr/out")).unwrap();
    for path in ["../victim", "/etc/passwd", "usr/../../victim", "usr/out/victim", ""] {
        let journal = serde_json::json!({ "paths": [[path, true]], "made": [], "times": [] });
        fs::write(stage.join(JOURNAL), journal.to_string()).unwrap();
        assert!(recover(&root).is_err(), "{path}");
    }
    fs::write(stage.join(JOURNAL), "[").unwrap();
    assert!(recover(&root).unwrap_err().to_string().contains("damaged"));
    assert_eq!(fs::read_to_string(outside.path().join("victim")).unwrap(), "safe");
}

#[test]
fn times_of_directories_are_kept() {
    let (dir, changes) = scene();
    let before = picture(dir.path());
    install(&RootDir::open(dir.path()).unwrap(), &changes, stamp()).unwrap();
    let after = picture(dir.path());
    for name in ["", "usr", "usr/lib", "usr/lib/here"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert!(after["usr/lib/here/deep"].contains("(1700000000, 0)"), "{}", after["usr/lib/here/deep"]);
}
