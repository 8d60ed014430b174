//! Puts the BPF object where the agent embeds it from: compiled from `bpf/` where clang is present, else the committed
//! one. `tests/cli/agent.rs` proves that the two are the same.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const SOURCE: &str = "bpf/kiln.bpf.c";
const PREBUILT: &str = "bpf/prebuilt/kiln.bpf.o";

fn main() {
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-env-changed=KILN_BPF_PREBUILT");
    println!("cargo:rerun-if-env-changed=CLANG");
    println!("cargo:rerun-if-env-changed=KILN_BPF_COPY");
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    let object = out.join("kiln.bpf.o");
    let built = env::var_os("KILN_BPF_PREBUILT").is_none() && compile(&object);
    if !built && let Err(e) = fs::copy(PREBUILT, &object) {
        println!("cargo:warning=no clang, and {PREBUILT} cannot be copied: {e}");
        std::process::exit(1);
    }
    if built
        && let Some(copy) = env::var_os("KILN_BPF_COPY")
        && let Err(e) = fs::copy(&object, &copy)
    {
        println!("cargo:warning=cannot write {}: {e}", Path::new(&copy).display());
        std::process::exit(1);
    }
    println!("cargo:rustc-env=KILN_BPF_ORIGIN={}", if built { "compiled" } else { "prebuilt" });
}

/// Compiles and strips the object; false where clang or llvm-strip is absent. Errors in the source are shown and fatal.
fn compile(object: &Path) -> bool {
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    // libbpf-sys says where it installed libbpf's headers (`links = "bpf"`).
    let Some(headers) = env::var_os("DEP_BPF_INCLUDE").map(|p| Path::new(&p).join("bpf")) else { return false };
    let present =
        |tool: &std::ffi::OsStr| Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success());
    let strip = ["llvm-strip", "llvm-strip-14", "llvm-strip-19"].into_iter().find(|s| present(s.as_ref()));
    let (true, Some(strip)) = (present(&clang), strip) else { return false };
    let run = |command: &mut Command| match command.status() {
        Ok(status) if status.success() => {}
        other => {
            println!(
                "cargo:warning={SOURCE} does not compile ({other:?}); KILN_BPF_PREBUILT=1 uses the committed object"
            );
            std::process::exit(1);
        }
    };
    run(Command::new(clang)
        .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror", "-Wno-unused-function"])
        // Neither the place nor the time of the build is in the object.
        .args(["-ffile-compilation-dir=.", "-ffile-prefix-map=./="])
        .arg(format!("-fdebug-prefix-map={}=libbpf", headers.display()))
        .arg("-I")
        .arg(&headers)
        .args(["-c", SOURCE, "-o"])
        .arg(object));
    // DWARF only; BTF stays.
    run(Command::new(strip).arg("-g").arg(object));
    true
}
