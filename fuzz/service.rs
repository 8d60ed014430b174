//! Derivation of one service of a small image, for the targets that try a reader of configurations.

use std::fs;
use std::path::PathBuf;

use kiln_base::model::Mode;
use kiln_derive::manifest::dpkg::Database;
use kiln_derive::manifest::{Root, service};
use kiln_derive::{derive, render};
use kiln_lang::pdl::{NoFiles, Source};
use kiln_lang::policy::load;

/// An image with one service.
pub struct Image {
    root: PathBuf,
    unit: &'static str,
    files: [&'static str; 3],
}

impl Image {
    /// Makes it; `files` are those that the fuzzer writes, `fixed` the others.
    pub fn new(unit: &'static str, files: [&'static str; 3], fixed: &[(&str, &str)]) -> Image {
        let root = PathBuf::from(format!("/dev/shm/kiln-fuzz-{unit}-{}", std::process::id()));
        for (path, text) in fixed.iter().chain(&[(files[0], "")]) {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a path below the root")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        Image { root, unit, files }
    }

    /// Between bytes 0xff stand the files. Whatever they hold, what is taken is a policy.
    pub fn try_files(&self, bytes: &[u8]) {
        let mut parts = bytes.split(|b| *b == 0xff);
        for file in self.files {
            match parts.next() {
                Some(text) => fs::write(self.root.join(file), text).expect("a file"),
                None => drop(fs::remove_file(self.root.join(file))),
            }
        }
        let root = Root::open(&self.root).expect("the image opens");
        let mut notes = Vec::new();
        if let Ok(facts) = service::read(&root, &Database::default(), self.unit, &mut notes) {
            // A rule that the front end refuses is left out by the command; the rest must be a policy.
            let derived = derive(&facts, Mode::Enforce, notes);
            let _ = load(&[Source::new("derived.pdl", &render(&[derived]))], &NoFiles);
        }
    }
}
