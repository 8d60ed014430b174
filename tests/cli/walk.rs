//! `bpf/test/walk.c`: the kernel programs' walks in user space, under the sanitizers, against plain ones.

use std::path::Path;
use std::process::Command;

#[test]
fn walks_in_user_space_agree_with_plain_ones() {
    let keep = tempfile::tempdir().unwrap();
    let program = keep.path().join("walk");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "gcc".to_owned());
    let status = Command::new(compiler)
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-sign-compare"])
        .args(["-Wno-unused-function", "-Wno-attributes", "-fno-strict-aliasing"])
        // Words are read and written where a name happens to lie; the kernel programs' machine has no alignment.
        .args(["-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=all", "-o"])
        .arg(&program)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf/test/walk.c"))
        .status()
        .expect("a C compiler with its sanitizers is there");
    assert!(status.success(), "bpf/test/walk.c does not compile");
    let out = Command::new(&program).env("ASAN_OPTIONS", "detect_leaks=0").output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.ends_with("walks agree\n"), "{said}");
}
