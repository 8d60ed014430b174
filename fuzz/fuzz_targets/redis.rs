//! No redis.conf panics its reader, and what it takes is a policy. Between bytes 0xff stand the configuration and
//! the files that it may include.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use kiln_derive::{derive, render};
use kiln_derive::manifest::dpkg::Database;
use kiln_derive::manifest::{Root, service};
use kiln_base::model::Mode;
use kiln_lang::pdl::{NoFiles, Source};
use kiln_lang::policy::load;
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 3] = ["etc/redis/redis.conf", "etc/redis/a.conf", "etc/redis/b.conf"];

static IMAGE: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = PathBuf::from(format!("/dev/shm/kiln-fuzz-redis-{}", std::process::id()));
    for (path, text) in [
        ("usr/lib/systemd/system/redis.service", "[Service]\nExecStart=/usr/bin/redis-server /etc/redis/redis.conf\n"),
        ("usr/bin/redis-server", ""),
        (FILES[0], ""),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a path below the root")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    root
});

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|b| *b == 0xff);
    for file in FILES {
        match parts.next() {
            Some(text) => fs::write(IMAGE.join(file), text).expect("a file"),
            None => drop(fs::remove_file(IMAGE.join(file))),
        }
    }
    let root = Root::open(&IMAGE).expect("the image opens");
    let mut notes = Vec::new();
    if let Ok(facts) = service::read(&root, &Database::default(), "redis.service", &mut notes) {
        // A rule that the front end refuses is left out by the command; the rest must be a policy.
        let derived = derive(&facts, Mode::Enforce, notes);
        let _ = load(&[Source::new("derived.pdl", &render(&[derived]))], &NoFiles);
    }
});
