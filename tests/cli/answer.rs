//! `bpf/test/answer.c`: how the kernel programs read a name server's answer, in user space, under the sanitizers, against
//! a plain reading.

use std::path::Path;
use std::process::Command;

#[test]
fn answers_are_read_in_user_space_as_a_plain_reading_does() {
    let keep = tempfile::tempdir().unwrap();
    let program = keep.path().join("answer");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "gcc".to_owned());
    let status = Command::new(compiler)
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-sign-compare"])
        .args(["-Wno-unused-function", "-Wno-attributes", "-fno-strict-aliasing"])
        .args(["-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=all", "-o"])
        .arg(&program)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf/test/answer.c"))
        .status()
        .expect("a C compiler with its sanitizers is there");
    assert!(status.success(), "bpf/test/answer.c does not compile");
    let out = Command::new(&program).env("ASAN_OPTIONS", "detect_leaks=0").output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.ends_with("answers agree\n"), "{said}");
}
