use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::*;

thread_local! {
    /// Steps until one fails, and whether the process "dies" there, so that nothing is undone.
    static FAIL: Cell<Option<(usize, bool)>> = const { Cell::new(None) };
    /// Whether the step after the failing one fails too.
    static AGAIN: Cell<bool> = const { Cell::new(false) };
    static DEAD: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn step() -> Result<(), Errno> {
    match FAIL.get() {
        Some((0, dies)) => {
            FAIL.set(AGAIN.replace(false).then_some((0, dies)));
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
    fs::create_dir_all(dir.path().join("usr/lib/kiln")).unwrap();
    for name in ["old", "gone"] {
        fs::write(dir.path().join("usr/lib/kiln").join(name), name).unwrap();
    }
    symlink("old", dir.path().join("usr/lib/kiln/link")).unwrap();
    let changes = vec![
        file("usr/lib/systemd/system/x.service.d/50-kiln.conf", "new"),
        Change { path: "usr/lib/kiln/gone".into(), node: None },
        Change { path: "usr/lib/kiln/link".into(), node: Some(Node::Link { target: "../elsewhere".into() }) },
        file("usr/lib/kiln/old", "changed"),
        file("usr/lib/kiln/zz", "last"),
    ];
    (dir, changes)
}

fn install(root: &RootDir, changes: &[Change], stamp: Stamp) -> Result<(), BakeError> {
    stage(root, changes, stamp)?.commit(root)
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
        let failed = result.is_err() && !root.list("").unwrap().iter().any(|n| done_with(&root, n));
        after(&root);
        let now = picture(dir.path());
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

/// Whether the stage says that all changes were made: it has its last name and the journal.
fn done_with(root: &RootDir, name: &str) -> bool {
    time_in_name(name).is_some() && root.find("usr/lib/kiln/zz").unwrap().is_some()
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
    assert!(recover(&root).unwrap_err().to_string().contains("no journal"));
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
    for name in ["", "usr", "usr/lib", "usr/lib/kiln"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert!(after["usr/lib/systemd"].contains("(1700000000, 0)"), "{}", after["usr/lib/systemd"]);
}

#[test]
fn only_what_a_bake_writes_is_touched_by_undoing_one() {
    let (dir, _) = scene();
    let root = RootDir::open(dir.path()).unwrap();
    let stage = dir.path().join(STAGE);
    fs::create_dir(&stage).unwrap();
    fs::create_dir_all(dir.path().join("etc/empty")).unwrap();
    fs::create_dir_all(dir.path().join("boot/grub")).unwrap();
    fs::write(dir.path().join("etc/passwd"), "root").unwrap();
    fs::write(dir.path().join("boot/grub/grub.cfg"), "linux /vmlinuz").unwrap();
    fs::write(stage.join("old-0"), "evil").unwrap();
    let before = picture(dir.path());
    let forgeries = [
        serde_json::json!({ "paths": [["etc/passwd", false]], "made": [], "times": [] }),
        serde_json::json!({ "paths": [["etc/passwd", true]], "made": [], "times": [] }),
        serde_json::json!({ "paths": [["boot/grub/grub.cfg", false]], "made": [], "times": [] }),
        serde_json::json!({ "paths": [["usr/lib/systemd/system/x.service", true]], "made": [], "times": [] }),
        serde_json::json!({ "paths": [["usr/lib/kiln/trust/a/b", true]], "made": [], "times": [] }),
        serde_json::json!({ "paths": [], "made": ["etc/empty"], "times": [] }),
        serde_json::json!({ "paths": [], "made": [], "times": [["etc", 5, 0]] }),
        serde_json::json!({ "paths": [], "made": [], "times": [["", 5, -1]] }),
    ];
    for journal in forgeries {
        fs::write(stage.join(JOURNAL), journal.to_string()).unwrap();
        let said = recover(&root).unwrap_err().to_string();
        assert!(said.contains("remove it and bake again"), "{said}");
        fs::remove_file(stage.join(JOURNAL)).unwrap();
        let mut now = picture(dir.path());
        now.insert(STAGE.to_owned(), before[STAGE].clone());
        assert_eq!(now, before, "{journal}");
    }
    // Nor is anything cleared that a bake does not leave.
    fs::write(stage.join(JOURNAL), r#"{"paths":[],"made":[],"times":[]}"#).unwrap();
    fs::create_dir(stage.join("new-1")).unwrap();
    assert!(recover(&root).is_err());
    fs::remove_dir(stage.join("new-1")).unwrap();
    fs::write(stage.join("mine"), "").unwrap();
    assert!(recover(&root).unwrap_err().to_string().contains("mine"));
    fs::remove_file(stage.join("mine")).unwrap();
    assert!(recover(&root).unwrap());
    fs::create_dir(dir.path().join(format!("{STAGE}.5.0"))).unwrap();
    fs::write(dir.path().join(format!("{STAGE}.5.0/mine")), "").unwrap();
    assert!(recover(&root).is_err());
}

#[test]
fn a_way_back_that_fails_tells_both_reasons_and_restores_the_rest() {
    let (dir, changes) = scene();
    let before = picture(dir.path());
    let root = RootDir::open(dir.path()).unwrap();
    for first in 14..19 {
        FAIL.set(Some((first, false)));
        AGAIN.set(true);
        let error = install(&root, &changes, stamp()).unwrap_err();
        if AGAIN.replace(false) {
            FAIL.set(None);
            assert_eq!(picture(dir.path()), before);
            continue;
        }
        let said = error.to_string();
        assert!(said.contains("restoring the image failed") && said.matches("cannot").count() == 2, "{said}");
        assert!(recover(&root).unwrap());
        assert_eq!(picture(dir.path()), before);
    }
}
