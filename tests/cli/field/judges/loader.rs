//! The loaders of glibc and musl as judges: the libraries that they list are those that Kiln finds.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use kiln::manifest::Root;
use kiln::manifest::elf::{Environment as Loading, Loader};

use super::run;

/// The libraries that glibc's loader lists for programs of this machine are those that Kiln finds.
#[test]
fn the_loader_lists_the_same_libraries() {
    let loader = "/lib64/ld-linux-x86-64.so.2";
    let root = Root::open(Path::new("/")).unwrap();
    let mut judged = 0;
    let mut programs: Vec<_> = fs::read_dir("/usr/bin").unwrap().map(|e| e.unwrap().path()).collect();
    programs.sort();
    for program in programs.iter().step_by((programs.len() / 60).max(1)) {
        let Ok(real) = fs::canonicalize(program) else { continue };
        if !fs::read(&real).is_ok_and(|b| b.starts_with(b"\x7fELF\x02")) {
            continue;
        }
        let Some(output) = run(Command::new(loader).arg("--list").arg(&real)) else { return };
        if !output.status.success() {
            continue;
        }
        let listed = String::from_utf8_lossy(&output.stdout);
        let theirs: BTreeSet<String> = listed
            .lines()
            .filter_map(|l| l.trim().split("=> ").last()?.split(' ').next())
            .filter(|p| p.starts_with('/'))
            .filter_map(|p| fs::canonicalize(p).ok())
            .map(|p| p.display().to_string())
            .collect();
        let found = Loader::new(&root).closure(real.to_str().unwrap(), &Loading::default(), &mut Vec::new()).unwrap();
        let ours: BTreeSet<String> =
            found.into_iter().map(|l| l.path).filter(|p| !p.contains("glibc-hwcaps")).collect();
        assert_eq!(ours, theirs, "{}", real.display());
        judged += 1;
    }
    assert!(judged > 10, "{judged}");
}

/// Programs whose objects ask for libraries in the ways that a loader knows: `tests/corpus/field/objects.LOADER` has them,
/// an empty line between them. `# KIND` stands first; then what is made, in order, and how the loader is told.
///
/// A line is `PATH [NEEDED …] [OPTION …]`: an object that needs those before it, by their names; a `-soname=`, `-rpath=`,
/// `-runpath=` and so on goes to the linker. `PATH = TEXT` is a text file with `;` for line ends, `PATH -> TARGET` a link,
/// `rm PATH` takes away what the linker alone needed, `ldconfig FOLDER …` makes the cache. The program is /app, or /o/bin/app.
pub fn objects_of(loader: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(format!("tests/corpus/field/objects.{loader}")).unwrap();
    let case = |block: &str| {
        let (kind, lines) = block.split_once('\n').unwrap();
        (kind.strip_prefix("# ").unwrap().to_owned(), lines.to_owned())
    };
    text.trim_end().split("\n\n").map(case).collect()
}

/// Makes an image of such lines.
fn objects(dir: &Path, text: &str, loader: &str) -> bool {
    let at = |path: &str| dir.join(path.trim_start_matches('/'));
    fs::write(at("empty.c"), "").unwrap();
    for line in text.lines() {
        if let Some((path, text)) = line.split_once(" = ") {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), text.replace(';', "\n") + "\n").unwrap();
            continue;
        }
        if let Some((path, target)) = line.split_once(" -> ") {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, at(path)).unwrap();
            continue;
        }
        if let Some(path) = line.strip_prefix("rm ") {
            fs::remove_file(at(path)).unwrap();
            continue;
        }
        let mut words = line.split(' ');
        let first = words.next().unwrap();
        if first == "ldconfig" {
            fs::create_dir_all(at("etc")).unwrap();
            let Some(output) = run(Command::new("/sbin/ldconfig").arg("-r").arg(dir).args(words)) else { return false };
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            continue;
        }
        fs::create_dir_all(at(first).parent().unwrap()).unwrap();
        let mut gcc = Command::new("gcc");
        gcc.args(["-nostdlib", "-Wl,--no-as-needed,--unresolved-symbols=ignore-all,-e,0", "-o"]).arg(at(first));
        gcc.arg(if first.ends_with("app") { "-pie" } else { "-shared" });
        gcc.arg(format!("-Wl,--dynamic-linker={loader}")).arg(at("empty.c"));
        for word in words {
            match word.strip_prefix('-').map(|w| w.split_once('=').unwrap_or((w, ""))) {
                // An object without DT_SONAME is needed by what the linker is given: its bare name, from its folder.
                None => {
                    let (folder, name) = word.rsplit_once('/').unwrap();
                    gcc.arg(format!("-L{}", at(folder).display())).arg(format!("-l:{name}"));
                }
                Some(("dynamic-linker", _)) => {}
                Some(("m32", _)) => _ = gcc.arg("-m32"),
                Some(("z", value)) => _ = gcc.arg(format!("-Wl,-z,{value}")),
                Some(("rpath", value)) => {
                    _ = gcc.args(["-Wl,--disable-new-dtags", "-Xlinker", "-rpath", "-Xlinker", value])
                }
                Some(("runpath", value)) => {
                    _ = gcc.args(["-Wl,--enable-new-dtags", "-Xlinker", "-rpath", "-Xlinker", value])
                }
                Some((key, value)) => _ = gcc.args(["-Xlinker", &format!("--{key}"), "-Xlinker", value]),
            }
        }
        let Some(output) = run(&mut gcc) else { return false };
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    true
}

/// What objects ask for is found where glibc's loader finds it: it runs with the image as its root.
#[test]
fn the_loader_finds_what_objects_ask_for() {
    all("glibc", "/lib64/ld-linux-x86-64.so.2");
}

/// The same for musl's loader, which has rules of its own (its ldso/dynlink.c).
#[test]
fn the_loader_of_musl_finds_what_objects_ask_for() {
    all("musl", "/lib/ld-musl-x86_64.so.1");
}

fn all(name: &str, loader: &str) {
    let wrong: Vec<String> = objects_of(name).iter().filter_map(|(kind, text)| compare(kind, text, loader)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with Kiln's reading, by the loader itself.
fn compare(kind: &str, text: &str, loader: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let Ok(program) = fs::read(loader) else {
        eprintln!("{loader} is not installed: nothing is judged");
        return None;
    };
    let at = text.split_once("-dynamic-linker=").and_then(|(_, l)| l.split([' ', '\n']).next()).unwrap_or(loader);
    fs::create_dir_all(dir.join(&at[1..]).parent().unwrap()).unwrap();
    fs::write(dir.join(&at[1..]), program).unwrap();
    fs::set_permissions(dir.join(&at[1..]), fs::Permissions::from_mode(0o755)).unwrap();
    if !objects(dir, text, at) {
        return None;
    }
    let app = if text.contains("/o/bin/app") { "/o/bin/app" } else { "/app" };
    let mut list = Command::new("unshare");
    list.args(["-r", "chroot"]).arg(dir).args([at, "--list", app]);
    let output = run(&mut list)?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("unshare failed") {
        eprintln!("no user namespaces: nothing is judged");
        return None;
    }
    let root = Root::open(dir).unwrap();
    let theirs: BTreeSet<String> = listed
        .lines()
        .filter_map(|l| l.trim().split("=> ").last()?.split(' ').next())
        .filter(|p| p.contains(".so") && !p.starts_with("linux-vdso") && *p != at)
        .map(|p| root.resolve(&format!("/{p}")).unwrap().path)
        .collect();
    let mut notes = Vec::new();
    let found = Loader::new(&root).closure(app, &Loading::default(), &mut notes).unwrap();
    let ours: BTreeSet<String> = found.into_iter().map(|l| l.path).filter(|p| p != at).collect();
    // The loader ends at the first library that is missing.
    if let Some(rest) = said.split("libraries: ").nth(1).filter(|r| r.contains("cannot open")) {
        let name = rest.split(':').next().unwrap();
        let told = notes.iter().any(|n| format!("{n:?}").contains(name));
        return (!told).then(|| format!("{kind}: {said}{notes:?}"));
    }
    // For another processor the loader may take another of these.
    let variant = |p: &String| ["/glibc-hwcaps/", "/tls/", "/x86_64/"].iter().any(|d| p.contains(d));
    let more: Vec<_> = ours.difference(&theirs).filter(|p| !variant(p) && !theirs.iter().any(variant)).collect();
    let less: Vec<_> = theirs.difference(&ours).collect();
    let right = more.is_empty() && less.is_empty() && notes.is_empty();
    (!right).then(|| format!("{kind}: more {more:?}, less {less:?}\n{listed}{said}{notes:?}"))
}
