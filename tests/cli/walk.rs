//! `bpf/test/walk.c` and `bpf/test/answer.c`: how the kernel programs walk paths and read a name server's answers, in user
//! space, under the sanitizers, against plain implementations.

use std::path::Path;
use std::process::Command;

/// Builds a program of `bpf/test` with the sanitizers and runs it; its last line must be `last`.
fn agrees(name: &str, last: &str) {
    let keep = tempfile::tempdir().unwrap();
    let program = keep.path().join(name);
    let compiler = std::env::var("CC").unwrap_or_else(|_| "gcc".to_owned());
    let status = Command::new(compiler)
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-sign-compare"])
        .args(["-Wno-unused-function", "-Wno-attributes", "-fno-strict-aliasing"])
        // Words are read and written where a name happens to lie; the kernel programs' machine has no alignment.
        .args(["-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=all", "-o"])
        .arg(&program)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf/test").join(format!("{name}.c")))
        .status()
        .expect("a C compiler with its sanitizers is there");
    assert!(status.success(), "bpf/test/{name}.c does not compile");
    let out = Command::new(&program).env("ASAN_OPTIONS", "detect_leaks=0").output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.ends_with(last), "{said}");
}

#[test]
fn walks_in_user_space_agree_with_plain_ones() {
    agrees("walk", "walks agree\n");
}

#[test]
fn answers_are_read_in_user_space_as_a_plain_reading_does() {
    agrees("answer", "answers agree\n");
}
