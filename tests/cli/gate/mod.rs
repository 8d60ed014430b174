//! `kiln gate`.

mod corpora;
mod field;
mod kinds;
mod sink;
mod soc;
mod stream;
pub mod tetragon;
mod tls;

use std::io::Read;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use flate2::read::GzDecoder;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/gate").join(name)
}

fn unpacked(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(corpus(name)).expect("the corpus is in the repository");
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).expect("the corpus is whole");
    bytes
}

fn gate() -> Command {
    let mut command = Command::cargo_bin("kiln").expect("kiln is built");
    command.arg("gate");
    command
}
