//! `kiln gate`.

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

fn assert_same_lines(found: &[u8], expected: &[u8], what: &str) {
    let (found, expected) = (String::from_utf8_lossy(found), String::from_utf8_lossy(expected));
    for (number, (a, b)) in found.lines().zip(expected.lines()).enumerate() {
        similar_asserts::assert_eq!(a, b, "{what}, line {}", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{what}: lines");
}

/// The reference's own bytes, not only its JSON: the strongest equality there is.
fn assert_is_the_references(vectors: &str, jobs: &str) {
    let output = gate()
        .args(["--profile", "scbe", "--emit-enforcement", "--include-kernel-event", "--enforcement-cooldown", "0"])
        .args(["--jobs", jobs])
        .write_stdin(unpacked(&format!("scbe/{vectors}.in.jsonl.gz")))
        .output()
        .expect("kiln runs");
    assert_eq!(output.status.code(), Some(2), "the vectors contain malformed lines");
    assert_same_lines(&output.stdout, &unpacked(&format!("scbe/{vectors}.out.jsonl.gz")), vectors);
    if vectors == "hard" {
        assert_same_lines(&output.stderr, &unpacked("scbe/hard.err.jsonl.gz"), "errors");
    }
}

#[test]
fn scbe_profile_equals_the_reference_on_its_vectors() {
    assert_is_the_references("dev", "1");
    assert_is_the_references("dev", "2");
}

#[test]
fn scbe_profile_equals_the_reference_on_hostile_lines() {
    assert_is_the_references("hard", "1");
}
