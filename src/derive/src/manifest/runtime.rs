//! What the C library and OpenSSL of an image open on their own, whatever the program.

use std::net::IpAddr;

use super::elf::Loader;
use super::root::{Kind, Root};
use super::{ImageFacts, Note, Origin, PathFact};

const NSSWITCH: &str = "/etc/nsswitch.conf";
const MAX_FILE: u64 = 1 << 20;

/// Name services that glibc 2.34 and newer have built in (NEWS of glibc 2.34).
const BUILT_IN: [&str; 2] = ["files", "dns"];

/// Reads what holds for every program of the image. `kind` is the machine of its libraries.
pub fn read(root: &Root, loader: &mut Loader<'_>, kind: (u16, bool), notes: &mut Vec<Note>) -> ImageFacts {
    let mut facts = ImageFacts::default();
    // A path that the image lacks needs no rule: opening it fails before any policy is asked.
    let present = |list: &mut Vec<PathFact>, path: &str, origin: Origin| match root.resolve(path) {
        Ok(r) if r.kind == Some(Kind::File) => list.push(PathFact::new(r.path, origin)),
        _ => {}
    };
    let glibc = |what: &str| Origin::known("glibc", what);
    present(&mut facts.glibc, "/etc/ld.so.cache", glibc("ld.so(8) looks libraries up"));
    present(&mut facts.glibc, "/etc/ld.so.preload", glibc("ld.so(8) loads these first"));
    present(&mut facts.glibc, "/etc/localtime", glibc("tzset(3) reads the time zone"));
    present(&mut facts.zone, "/etc/localtime", Origin::known("run-time library", "the time zone"));
    // These are the kernel's, so no image has them.
    facts.glibc.push(PathFact::new("/sys/devices/system/cpu/online", glibc("sysconf(3) counts processors")));
    present(&mut facts.users, NSSWITCH, glibc("nsswitch.conf(5)"));
    present(&mut facts.users, "/etc/passwd", glibc("getpwnam(3)"));
    present(&mut facts.users, "/etc/group", glibc("getgrnam(3), initgroups(3)"));
    facts.users.push(PathFact::new("/proc/sys/kernel/ngroups_max", glibc("initgroups(3)")));
    for (path, what) in [
        ("/etc/hosts", "hosts(5)"),
        ("/etc/host.conf", "host.conf(5)"),
        ("/etc/resolv.conf", "resolv.conf(5)"),
        ("/etc/gai.conf", "gai.conf(5)"),
        ("/etc/services", "services(5)"),
    ] {
        present(&mut facts.hosts, path, glibc(what));
    }
    present(&mut facts.openssl, "/usr/lib/ssl/openssl.cnf", Origin::known("openssl", "config(5)"));
    // Where Go, Rust's and Python's libraries and musl's users look (crypto/x509 of Go, openssl-probe).
    for path in [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    ] {
        present(&mut facts.authorities, path, Origin::known("run-time library", "certificates of authorities"));
    }
    for path in ["/etc/ssl/certs", "/etc/pki/tls/certs"] {
        if let Ok(r) = root.resolve(path)
            && r.kind == Some(Kind::Directory)
        {
            let origin = Origin::known("run-time library", "certificates of authorities");
            facts.authorities.push(PathFact::new(r.path, origin));
        }
    }
    name_services(root, loader, kind, &mut facts, notes);
    if let Ok(text) = root.text("/etc/resolv.conf", MAX_FILE) {
        for (n, line) in (1u32..).zip(text.lines()) {
            let mut words = line.split_whitespace();
            if words.next() == Some("nameserver") {
                let server = words.next().and_then(|w| w.parse::<IpAddr>().ok());
                facts.name_servers.extend(server.map(|ip| (ip, Origin::line("/etc/resolv.conf", n))));
            }
        }
    }
    facts
}

/// The modules that nsswitch.conf names, and the sockets that they ask.
fn name_services(
    root: &Root,
    loader: &mut Loader<'_>,
    kind: (u16, bool),
    facts: &mut ImageFacts,
    notes: &mut Vec<Note>,
) {
    let Ok(text) = root.text(NSSWITCH, MAX_FILE) else { return };
    for (n, line) in (1u32..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let Some((database, services)) = line.split_once(':') else { continue };
        if !matches!(database.trim(), "passwd" | "group" | "initgroups" | "hosts") {
            continue;
        }
        // `[NOTFOUND=return]` between them steers, it names no service.
        for service in services.split_whitespace().filter(|s| !s.starts_with('[') && !BUILT_IN.contains(s)) {
            let origin = Origin::line(NSSWITCH, n);
            if !service.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
                continue;
            }
            let found = loader.loaded(&format!("libnss_{service}.so.2"), kind, &origin, notes);
            if found.is_empty() {
                continue;
            }
            facts.modules.extend(found);
            let sockets: &[&str] = match service {
                "systemd" => &["/run/systemd/userdb/io.systemd.DynamicUser"],
                "resolve" => &["/run/systemd/resolve/io.systemd.Resolve"],
                "sss" => &["/var/lib/sss/pipes/nss"],
                _ => &[],
            };
            facts.sockets.extend(sockets.iter().map(|s| PathFact::new(*s, origin.clone())));
        }
    }
    // glibc asks nscd first wherever it runs.
    if root.exists("/usr/sbin/nscd") {
        facts.sockets.push(PathFact::new("/run/nscd/socket", Origin::known("glibc", "nscd(8)")));
    }
    facts.modules.sort();
    facts.modules.dedup_by(|a, b| a.path == b.path);
    facts.sockets.sort();
    facts.sockets.dedup_by(|a, b| a.path == b.path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    #[test]
    fn only_what_the_image_has() {
        let (_dir, root) = image(&[
            ("etc/ld.so.cache", "x"),
            ("etc/localtime", "-> /usr/share/zoneinfo/Etc/UTC"),
            ("usr/share/zoneinfo/Etc/UTC", "TZif"),
            ("etc/nsswitch.conf", "passwd: files systemd\nhosts: files [NOTFOUND=return] dns\n"),
            ("etc/passwd", "root"),
            ("etc/resolv.conf", "# x\nnameserver 10.0.0.2\nnameserver bad\n"),
        ]);
        let facts = read(&root, &mut Loader::new(&root), (62, true), &mut Vec::new());
        let paths = |list: &[PathFact]| list.iter().map(|f| f.path.clone()).collect::<Vec<_>>();
        assert_eq!(
            paths(&facts.glibc),
            ["/etc/ld.so.cache", "/usr/share/zoneinfo/Etc/UTC", "/sys/devices/system/cpu/online"]
        );
        assert_eq!(paths(&facts.users), ["/etc/nsswitch.conf", "/etc/passwd", "/proc/sys/kernel/ngroups_max"]);
        assert!(facts.openssl.is_empty() && facts.modules.is_empty() && facts.sockets.is_empty());
        assert_eq!(facts.name_servers.len(), 1);
    }
}
