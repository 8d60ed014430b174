//! No file of a package database panics its reader. Parts of the input, between bytes 0xff, are the files.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use kiln_derive::manifest::Root;
use kiln_derive::manifest::dpkg::Database;
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 6] = ["status", "diversions", "info/a.list", "info/a:amd64.list", "status.d/b", "status.d/b.md5sums"];

static IMAGE: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = PathBuf::from(format!("/dev/shm/kiln-fuzz-dpkg-{}", std::process::id()));
    for folder in ["info", "status.d"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(folder)).expect("a folder");
    }
    fs::create_dir_all(root.join("usr/lib")).expect("a folder");
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).expect("a link");
    root
});

fuzz_target!(|bytes: &[u8]| {
    let folder = IMAGE.join("var/lib/dpkg");
    let mut parts = bytes.split(|b| *b == 0xff);
    for file in FILES {
        match parts.next() {
            Some(text) => fs::write(folder.join(file), text).expect("a file"),
            None => drop(fs::remove_file(folder.join(file))),
        }
    }
    let root = Root::open(&IMAGE).expect("the image opens");
    if let Ok(db) = Database::read(&root) {
        for path in ["/usr/lib/x", "/lib/x", "/etc/a"] {
            if let Some(owner) = db.owner(path) {
                let name = owner.name.clone();
                assert!(db.package(&name).is_some() && db.files(&name).next().is_some());
            }
        }
    }
});
