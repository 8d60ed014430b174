//! What the guest needs beside the kernel: attack programs and their victims, the agent.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use crate::case::folder;

/// Files for the guest, as vm-run takes them: a file here, and where it lies there.
pub struct Programs {
    /// `kt`, its victims, a dynamic program, a library to preload, and the loader with its C library.
    pub files: Vec<(PathBuf, String)>,
}

/// Runs a tool and gives back what it wrote.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Builds the attack programs into `target`. A second of the C compiler's time: cheaper than knowing when to.
pub fn attacks(target: &Path) -> Result<Programs, String> {
    let sources = folder().join("attack");
    fs::create_dir_all(target).map_err(|error| format!("{}: {error}", target.display()))?;
    let compiler = env::var("CC").unwrap_or_else(|_| "gcc".to_owned());
    let mut parts = Vec::new();
    for entry in fs::read_dir(&sources).map_err(|error| format!("{}: {error}", sources.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            parts.push(path);
        }
    }
    parts.sort();
    let kt = target.join("kt");
    run(Command::new(&compiler).args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&kt).args(&parts))?;
    let dynamic = target.join("dynamic");
    run(Command::new(&compiler).args(["-O1", "-o"]).arg(&dynamic).arg(sources.join("victim/dynamic.c")))?;
    let quiet = target.join("quiet");
    run(Command::new(&compiler).args(["-O1", "-DQUIET", "-o"]).arg(&quiet).arg(sources.join("victim/dynamic.c")))?;
    let library = target.join("preload.so");
    run(Command::new(&compiler)
        .args(["-shared", "-fPIC", "-nostdlib", "-O1", "-o"])
        .arg(&library)
        .arg(sources.join("victim/preload.c")))?;
    let libc = PathBuf::from(run(Command::new(&compiler).arg("-print-file-name=libc.so.6"))?);
    let loader = loader()?;
    let files = vec![
        (kt.clone(), "/kt/kt".to_owned()),
        (kt.clone(), "/kt/ok".to_owned()),
        (kt, "/kt/denied".to_owned()),
        (dynamic, "/kt/dynamic".to_owned()),
        (quiet, "/kt/quiet".to_owned()),
        (library, "/kt/preload.so".to_owned()),
        (libc, "/lib/x86_64-linux-gnu/libc.so.6".to_owned()),
        (loader, "/lib64/ld-linux-x86-64.so.2".to_owned()),
    ];
    Ok(Programs { files })
}

/// The loader of dynamic programs.
///
/// # Errors
/// What the compiler said.
pub fn loader() -> Result<PathBuf, String> {
    let compiler = env::var("CC").unwrap_or_else(|_| "gcc".to_owned());
    run(Command::new(compiler).arg("-print-file-name=ld-linux-x86-64.so.2")).map(PathBuf::from)
}

/// The agent as it goes into images: one static file. KILN_AGENT names one that is there already.
///
/// # Errors
/// What cargo said.
pub fn agent() -> Result<PathBuf, String> {
    static AGENT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    AGENT.get_or_init(build_agent).clone()
}

fn build_agent() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("KILN_AGENT") {
        return Ok(PathBuf::from(path));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut script = Command::new(root.join("scripts/build-agent"));
    let made = script.arg("--debug").output().map_err(|error| format!("scripts/build-agent: {error}"))?;
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    if !made.status.success() {
        return Err(format!("scripts/build-agent: {}{said}", String::from_utf8_lossy(&made.stderr)));
    }
    Ok(root.join(said.trim()))
}

/// Another agent than [`agent`]: the same program, with a BPF object that differs and does the same. The name of the
/// licence is data that the kernel compares with a list, and both names are on it.
///
/// # Errors
/// If the agent cannot be read, or has no such name.
pub fn other_agent(target: &Path) -> Result<PathBuf, String> {
    let agent = agent()?;
    let mut bytes = fs::read(&agent).map_err(|error| format!("{}: {error}", agent.display()))?;
    let (name, other) = (b"Dual BSD/GPL\0", b"Dual MIT/GPL\0");
    let places: Vec<usize> =
        bytes.windows(name.len()).enumerate().filter(|(_, w)| *w == name).map(|(at, _)| at).collect();
    if places.is_empty() {
        return Err(format!("{}: no licence of a BPF object in it", agent.display()));
    }
    for at in places {
        bytes[at..at + other.len()].copy_from_slice(other);
    }
    let path = target.join("other-agent");
    let write = fs::write(&path, bytes)
        .and_then(|()| fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)));
    write.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
