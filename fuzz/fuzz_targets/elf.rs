//! No ELF file and no configuration of its loader panics the reader, and what it reads has names. The first byte says which
//! file.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use kiln_derive::manifest::Root;
use kiln_derive::manifest::elf::{Environment, Loader, object};
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 5] = ["bin/a", "lib/liba.so", "etc/ld.so.conf", "etc/ld.so.preload", "etc/ld-musl-x86_64.path"];

static IMAGE: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = PathBuf::from(format!("/dev/shm/kiln-fuzz-elf-{}", std::process::id()));
    for folder in ["bin", "lib", "etc/ld.so.conf.d"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    fs::write(root.join("etc/ld.so.conf"), "include ld.so.conf.d/*.conf\n/lib\n").expect("a file");
    fs::copy("/bin/true", root.join(FILES[0])).expect("a program of this machine");
    fs::copy("/lib/x86_64-linux-gnu/libutil.so.1", root.join(FILES[1])).expect("a library of this machine");
    root
});

fuzz_target!(|bytes: &[u8]| {
    let Some((which, text)) = bytes.split_first() else { return };
    let which = usize::from(*which) % FILES.len();
    if which < 2 {
        let _ = object(text);
    }
    let path = IMAGE.join(FILES[which]);
    let before = fs::read(&path).ok();
    fs::write(&path, text).expect("a file");
    let root = Root::open(&IMAGE).expect("the image opens");
    let found = Loader::new(&root).closure("/bin/a", &Environment::default(), &mut Vec::new());
    if let Ok(found) = found {
        assert!(found.iter().all(|l| l.path.starts_with('/')));
    }
    match before {
        Some(before) => fs::write(&path, before).expect("a file"),
        None => fs::remove_file(&path).expect("a file"),
    }
});
