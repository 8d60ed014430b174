//! No file of an image panics what derives from it, and what is derived is a policy. The first byte says which file.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use kiln_derive::{derive, render};
use kiln_derive::manifest::dpkg::Database;
use kiln_derive::manifest::systemd::census;
use kiln_derive::manifest::{Root, service};
use kiln_base::model::Mode;
use kiln_lang::pdl::{NoFiles, Source};
use kiln_lang::policy::load;
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 8] = [
    "usr/lib/systemd/system/nginx.service",
    "etc/nginx/nginx.conf",
    "usr/lib/systemd/system/nginx.service.d/x.conf",
    "usr/lib/systemd/system/nginx.socket",
    "usr/sbin/nginx",
    "var/lib/dpkg/status",
    "var/lib/dpkg/diversions",
    "etc/ld.so.conf",
];

/// A small image, in which one file is replaced at a time.
static IMAGE: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = std::env::temp_dir().join(format!("kiln-fuzz-{}", std::process::id()));
    for (path, text) in [
        (FILES[0], "[Service]\nExecStart=/usr/sbin/nginx -g 'daemon off;'\n"),
        (FILES[1], "events {} http { server { listen 80; root /srv; proxy_pass http://10.0.0.1; } }\n"),
        (FILES[5], "Package: nginx\nStatus: install ok installed\nVersion: 1\n"),
        ("var/lib/dpkg/info/nginx.list", "/.\n/usr\n/usr/sbin\n/usr/sbin/nginx\n"),
        (FILES[4], "#!/bin/sh\n"),
        ("bin/sh", "\u{7f}ELF"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a path below the root")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    fs::create_dir_all(root.join("usr/lib/systemd/system/nginx.service.d")).expect("a folder");
    root
});

fuzz_target!(|bytes: &[u8]| {
    let Some((which, text)) = bytes.split_first() else { return };
    let path = IMAGE.join(FILES[usize::from(*which) % FILES.len()]);
    let before = fs::read(&path).ok();
    fs::write(&path, text).expect("a file");
    let root = Root::open(&IMAGE).expect("the image opens");
    let _ = census::read(&root);
    let mut notes = Vec::new();
    if let Ok(db) = Database::read(&root)
        && let Ok(facts) = service::read(&root, &db, "nginx.service", &mut notes)
    {
        // A rule that the front end refuses is left out by the command; the rest must be a policy.
        let derived = derive(&facts, Mode::Enforce, notes);
        let _ = load(&[Source::new("derived.pdl", &render(&[derived]))], &NoFiles);
    }
    match before {
        Some(before) => fs::write(&path, before).expect("a file"),
        None => fs::remove_file(&path).expect("a file"),
    }
});
