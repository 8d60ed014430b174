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

/// Programs whose objects ask for libraries in the ways that ld.so(8) knows: the kind, what is made, in order, and how the
/// loader is told.
///
/// A line is `PATH [NEEDED …] [OPTION …]`: an object that needs those before it, by their names; a `-soname=`, `-rpath=`,
/// `-runpath=` and so on goes to the linker. `PATH = TEXT` is a text file with `;` for line ends, `ldconfig FOLDER …` makes the cache. The program is
/// /app.
#[rustfmt::skip]
pub const OBJECTS: [(&str, &str); 20] = [
    ("DT_RUNPATH is of the object alone", "/a/libb.so
/a/liba.so /a/libb.so
/app /a/liba.so -runpath=/a"),
    ("DT_RPATH is of those that it needs, too", "/a/libb.so
/a/liba.so /a/libb.so
/app /a/liba.so -rpath=/a"),
    ("DT_RPATH of others does not count for an object with DT_RUNPATH", "/a/libb.so
/b/libb.so
/a/liba.so /a/libb.so -runpath=/b
/app /a/liba.so -rpath=/a"),
    ("but for those that it needs it does", "/a/libc1.so
/b/libb.so /a/libc1.so
/a/liba.so /b/libb.so -runpath=/b
/app /a/liba.so -rpath=/a"),
    ("$ORIGIN and ${ORIGIN}", "/o/lib/liba.so
/o/lib2/libb.so
/o/bin/app /o/lib/liba.so /o/lib2/libb.so -runpath=$ORIGIN/../lib:${ORIGIN}/../lib2"),
    ("$LIB and $PLATFORM", "/o/lib/x86_64-linux-gnu/liba.so
/o/x86_64/libb.so
/app /o/lib/x86_64-linux-gnu/liba.so /o/x86_64/libb.so -runpath=/o/$LIB:/o/$PLATFORM"),
    ("a word that only begins like $ORIGIN", "/$ORIGINAL/liba.so
/AL/liba.so
/app /AL/liba.so -runpath=/$ORIGINAL"),
    ("a name with a slash is a path", "/n/liba.so -soname=/n/liba.so
/m/libb.so -soname=$ORIGIN/m/libb.so
/app /n/liba.so /m/libb.so"),
    ("a library that is loaded already answers to both of its names", "/a/liba.so -soname=liba.so.1
/a/liba.so.1 -soname=liba.so.1
/b/liba.so.1 -soname=liba.so.1
/a/libz.so /b/liba.so.1 -runpath=/b
/app /a/liba.so /a/libz.so -runpath=/a"),
    ("folders of processors before glibc 2.37", "/a/tls/liba.so
/a/liba.so
/a/tls/x86_64/libb.so
/app /a/liba.so /a/tls/x86_64/libb.so -runpath=/a"),
    ("glibc-hwcaps", "/a/glibc-hwcaps/x86-64-v2/liba.so
/a/liba.so
/app /a/liba.so -runpath=/a"),
    ("a library for another machine is passed over", "/a/liba.so -m32
/b/liba.so
/app /b/liba.so -runpath=/a:/b"),
    ("the cache has a folder that no configuration names", "/odd/liba.so -soname=liba.so.2
/app /odd/liba.so
ldconfig /odd"),
    ("the cache has a library below another name", "/odd/liba.so.2.1 -soname=liba.so.2
/app /odd/liba.so.2.1
ldconfig /odd"),
    ("DF_1_NODEFLIB: not the folders that the loader has built in", "/usr/lib/liba.so
/app /usr/lib/liba.so -z=nodefaultlib"),
    ("filters and auxiliaries", "/a/libreal.so
/a/libmore.so
/a/liba.so -filter=libreal.so -auxiliary=libmore.so -auxiliary=libnone.so -runpath=/a
/app /a/liba.so -runpath=/a"),
    ("libraries that need each other", "/a/libb.so -soname=libb.so
/a/liba.so /a/libb.so -soname=liba.so
/a/libb.so /a/liba.so -soname=libb.so
/app /a/liba.so -rpath=/a"),
    ("empty, doubled and relative folders", "/liba.so
/rel/libb.so
/app /liba.so /rel/libb.so -runpath=:rel:/none//:/rel//"),
    ("ld.so.preload, whose libraries count as the program's own", "/p/libp.so
/a/libq.so
/a/liba.so
/app /a/liba.so -rpath=/a
/etc/ld.so.preload = /p/libp.so:libq.so # no"),
    ("the first of several folders", "/a/liba.so
/b/liba.so
/b/libb.so /b/liba.so
/app /b/liba.so /b/libb.so -rpath=/none:/a:/b"),
];

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

/// The same for musl's loader, which has rules of its own (its ldso/dynlink.c).
#[rustfmt::skip]
pub const MUSL: [(&str, &str); 8] = [
    ("DT_RUNPATH is of those that it needs, too", "/a/libb.so
/a/liba.so /a/libb.so
/app /a/liba.so -runpath=/a"),
    ("the path file, by colons and by lines", "/one/liba.so
/two/libb.so
/three/libc1.so
/app /one/liba.so /two/libb.so /three/libc1.so
/etc/ld-musl-x86_64.path = /none:/one;/two;;:/three"),
    ("the path file stands for the usual folders", "/one/liba.so
/usr/lib/liba.so
/app /one/liba.so
/etc/ld-musl-x86_64.path = /one"),
    ("the usual folders", "/lib/liba.so
/usr/local/lib/libb.so
/usr/lib/libb.so
/usr/lib/libc1.so
/app /lib/liba.so /usr/lib/libb.so /usr/lib/libc1.so"),
    ("the path file of a loader elsewhere is beside its own folder", "/one/liba.so
/lib/liba.so
/app /one/liba.so -dynamic-linker=/opt/m/lib/ld-musl-x86_64.so.1
/opt/m/etc/ld-musl-x86_64.path = /one"),
    ("names that are the loader's own", "/a/libpthread.so.0
/a/libm.so.6
/a/libmine.so
/app /a/libpthread.so.0 /a/libm.so.6 /a/libmine.so -runpath=/a"),
    ("$ORIGIN alone is known", "/o/lib/liba.so
/o/lib/x86_64-linux-gnu/libb.so
/lib/libb.so
/o/bin/app /o/lib/liba.so -runpath=$ORIGIN/../lib"),
    ("no cache, no folders of processors, no preload file", "/a/tls/liba.so
/a/liba.so
/a/glibc-hwcaps/x86-64-v2/liba.so
/p/libp.so
/app /a/liba.so -runpath=/a
/etc/ld.so.preload = /p/libp.so"),
];

/// What objects ask for is found where glibc's loader finds it: it runs with the image as its root.
#[test]
fn the_loader_finds_what_objects_ask_for() {
    for (kind, text) in OBJECTS {
        compare(kind, text, "/lib64/ld-linux-x86-64.so.2");
    }
}

#[test]
fn the_loader_of_musl_finds_what_objects_ask_for() {
    for (kind, text) in MUSL {
        compare(kind, text, "/lib/ld-musl-x86_64.so.1");
    }
}

fn compare(kind: &str, text: &str, loader: &str) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let Ok(program) = fs::read(loader) else {
        eprintln!("{loader} is not installed: nothing is judged");
        return;
    };
    let at = text.split_once("-dynamic-linker=").and_then(|(_, l)| l.split([' ', '\n']).next()).unwrap_or(loader);
    fs::create_dir_all(dir.join(&at[1..]).parent().unwrap()).unwrap();
    fs::write(dir.join(&at[1..]), program).unwrap();
    fs::set_permissions(dir.join(&at[1..]), fs::Permissions::from_mode(0o755)).unwrap();
    if !objects(dir, text, at) {
        return;
    }
    let app = if text.contains("/o/bin/app") { "/o/bin/app" } else { "/app" };
    let mut list = Command::new("unshare");
    list.args(["-r", "chroot"]).arg(dir).args([at, "--list", app]);
    let Some(output) = run(&mut list) else { return };
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("unshare failed") {
        eprintln!("no user namespaces: nothing is judged");
        return;
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
        assert!(notes.iter().any(|n| format!("{n:?}").contains(name)), "{kind}: {said}{notes:?}");
        return;
    }
    // For another processor the loader may take another of these.
    let variant = |p: &String| ["/glibc-hwcaps/", "/tls/", "/x86_64/"].iter().any(|d| p.contains(d));
    let more: Vec<_> = ours.difference(&theirs).filter(|p| !variant(p) && !theirs.iter().any(variant)).collect();
    let less: Vec<_> = theirs.difference(&ours).collect();
    assert!(more.is_empty() && less.is_empty(), "{kind}: more {more:?}, less {less:?}\n{listed}{said}{notes:?}");
    assert!(notes.is_empty(), "{kind}: {notes:?}\n{listed}{said}");
}
