//! Where a loader looks: /etc/ld.so.conf, what the loader itself has built in, and musl's path file.

use std::collections::BTreeSet;

use crate::manifest::root::Root;

/// `include` within ld.so.conf.
const MAX_DEPTH: usize = 8;
/// Bytes of one such file.
const MAX_FILE: u64 = 1 << 20;
/// Where folders are taken to be built in if the loader does not say them: Debian's, then those of others.
const USUAL: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// The folders of ld.so.conf, includes followed (ldconfig(8)).
pub(super) fn configured(root: &Root) -> Vec<String> {
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    conf(root, "/etc/ld.so.conf", 0, &mut seen, &mut out);
    out
}

fn conf(root: &Root, path: &str, depth: usize, seen: &mut BTreeSet<String>, out: &mut Vec<String>) {
    let Ok(text) = root.text(path, MAX_FILE) else { return };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(patterns) = line.strip_prefix("include").filter(|r| r.starts_with([' ', '\t'])) {
            for pattern in patterns.split([' ', '\t']).filter(|p| !p.is_empty()) {
                // Relative ones start at the including file's folder.
                let folder = path.rsplit_once('/').map_or("", |(d, _)| d);
                let full = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{folder}/{pattern}") };
                for file in root.glob(&full).unwrap_or_default() {
                    if depth < MAX_DEPTH && seen.insert(file.clone()) {
                        conf(root, &file, depth + 1, seen, out);
                    }
                }
            }
            continue;
        }
        // `/opt/lib=libc6`: the type behind the sign is ldconfig's matter.
        let folder = line.split('=').next().unwrap_or_default().trim_end();
        if folder.starts_with('/') {
            out.push(folder.trim_end_matches('/').to_owned());
        }
    }
}

/// The folders that a loader of glibc has built in: C strings that follow each other, each with a `/` at both ends.
pub(super) fn built_in(loader: &[u8]) -> Vec<String> {
    let mut run: Vec<String> = Vec::new();
    for part in loader.split(|b| *b == 0) {
        match folder(part, run.is_empty()) {
            Some(folder) => run.push(folder),
            None if run.len() > 1 && run.iter().any(|f| f.contains("lib")) => return run,
            None => run.clear(),
        }
    }
    Vec::new()
}

/// A folder's name with a `/` at both ends. What stands before the first of a run need not end in NUL.
fn folder(bytes: &[u8], first: bool) -> Option<String> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._+-".contains(b);
    let start = bytes.iter().rposition(|b| !plain(b)).map_or(0, |n| n + 1);
    let from = bytes[start..].iter().position(|b| *b == b'/')? + start;
    if (from > 0 && !first) || !bytes.ends_with(b"/") || bytes.len() - from < 3 {
        return None;
    }
    Some(String::from_utf8_lossy(&bytes[from..]).trim_end_matches('/').to_owned())
}

/// Whether a loader looks into folders of processors as glibc did before 2.37: it has their heading in its help since 2.33,
/// and knew no others before.
pub(super) fn legacy(loader: &[u8]) -> bool {
    let has = |text: &[u8]| loader.windows(text.len()).any(|w| w == text);
    has(b"Legacy HWCAP") || !has(b"glibc-hwcaps")
}

/// Those folders below a folder, each within each other: `tls`, and what AT_PLATFORM and AT_HWCAP may be on x86-64.
pub(super) fn of_processors(root: &Root, folder: &str) -> Vec<String> {
    let mut out = vec![folder.to_owned()];
    for name in ["tls", "haswell", "xeon_phi", "avx512_1", "x86_64"] {
        let below: Vec<String> =
            out.iter().map(|f| format!("{f}/{name}")).filter(|f| root.entries(f).is_ok()).collect();
        out.extend(below);
    }
    out.remove(0);
    out
}

/// Those of an image whose loader does not say.
pub(super) fn usual() -> Vec<String> {
    USUAL.map(str::to_owned).to_vec()
}

/// Whether a loader is musl's, or has musl's do its work (gcompat), whatever its name is.
pub(super) fn is_musl(path: &str, loader: &[u8]) -> bool {
    let has = |text: &[u8]| loader.windows(text.len()).any(|w| w == text);
    path.rsplit('/').next().is_some_and(|n| n.starts_with("ld-musl-")) || has(b"musl libc") || has(b"/ld-musl-")
}

/// Where musl's loader looks: its path file, or what it has built in (musl's ldso/dynlink.c).
pub(super) fn musl(root: &Root, loader: &str) -> Vec<String> {
    let arch =
        loader.rsplit('/').next().and_then(|n| n.strip_prefix("ld-musl-")?.split('.').next()).unwrap_or("x86_64");
    // The file stands beside the folder of the loader: /lib/ld-musl-… and /etc/ld-musl-….path.
    let above = loader.rsplit_once('/').and_then(|(folder, _)| folder.rsplit_once('/')).map_or("", |(above, _)| above);
    match root.text(&format!("{above}/etc/ld-musl-{arch}.path"), MAX_FILE) {
        Ok(text) => text.split([':', '\n']).filter(|p| p.starts_with('/')).map(str::to_owned).collect(),
        Err(_) => ["/lib", "/usr/local/lib", "/usr/lib"].map(str::to_owned).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    #[test]
    fn ld_so_conf_with_includes() {
        let (_dir, root) = image(&[
            ("etc/ld.so.conf", "include ld.so.conf.d/*.conf /etc/more.conf\n/opt/lib/ # own\n/opt/x=libc6\n"),
            ("etc/ld.so.conf.d/b.conf", "/usr/lib/x86_64-linux-gnu\n"),
            ("etc/ld.so.conf.d/a.conf", "/usr/local/lib\ninclude /etc/ld.so.conf.d/a.conf\n"),
            ("etc/ld.so.conf.d/c.txt", "/not/this\n"),
            ("etc/more.conf", "/more\n"),
        ]);
        assert_eq!(configured(&root), ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/more", "/opt/lib", "/opt/x"]);
    }

    #[test]
    fn built_in_ones() {
        let loader =
            b"\x7fELF\0\x80\xe3\x01/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0\0\0x";
        let want = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"];
        assert_eq!(built_in(loader), want);
        assert_eq!(built_in(&loader[..5]), Vec::<String>::new());
        assert_eq!(built_in(b"\0/lib64/\0/usr/lib64/\0\0"), ["/lib64", "/usr/lib64"]);
    }

    #[test]
    fn this_machines_own_loader() {
        if let Ok(loader) = std::fs::read("/lib64/ld-linux-x86-64.so.2") {
            assert!(built_in(&loader).iter().any(|f| f == "/usr/lib"), "{:?}", built_in(&loader));
        }
    }
}
