//! Programs that make units at boot (systemd.generator(7)). What they make is known where they read a plain file; for
//! the rest it is said that it is not known.

use super::walk::{Walk, Way};
use crate::manifest::root::RootError;

const FOLDERS: [&str; 4] = [
    "/etc/systemd/system-generators",
    "/usr/local/lib/systemd/system-generators",
    "/usr/lib/systemd/system-generators",
    "/lib/systemd/system-generators",
];
const MAX_FILE: u64 = 1 << 20;

/// The file of a generator that is not masked: the first folder that has its name counts.
fn path_of(walk: &Walk<'_>, name: &str) -> Option<String> {
    let path = FOLDERS.iter().map(|f| format!("{f}/{name}")).find(|p| walk.root.link(p).is_ok())?;
    let real = walk.root.resolve(&path).ok()?;
    let runs = real.kind == Some(crate::manifest::root::Kind::File) && real.mode.is_some_and(|m| m & 0o111 != 0);
    runs.then_some(path)
}

pub(super) fn has(walk: &Walk<'_>, name: &str) -> bool {
    path_of(walk, name).is_some()
}

pub(super) fn seeds(walk: &mut Walk<'_>) -> Result<(), RootError> {
    let mut names: Vec<String> = FOLDERS.iter().flat_map(|f| walk.entries(f)).collect();
    names.sort();
    names.dedup();
    for name in names {
        let Some(path) = path_of(walk, &name) else { continue };
        let known = match name.as_str() {
            "postgresql-generator" => postgresql(walk),
            "postfix-instance-generator" => postfix(walk),
            "openvpn-generator" => openvpn(walk),
            "tor-generator" => tor(walk),
            "systemd-rc-local-generator" => rc_local(walk),
            // systemd's own make mounts, consoles and what encrypted disks need; init scripts are read elsewhere.
            other if other.starts_with("systemd-") => Some(Vec::new()),
            _ => None,
        };
        match known {
            Some(made) => made.into_iter().for_each(|(unit, from)| {
                walk.seed(unit, format!("{name} makes it from {from}"));
            }),
            None => walk.unnamed(path, Way::Generator, "this generator makes units at boot; which is not known"),
        }
    }
    Ok(())
}

type Made = Option<Vec<(String, String)>>;

fn without_comments(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter(|l| !l.is_empty())
}

/// An instance's name may hold only some characters; what else stands there systemd refuses.
fn instance(prefix: &str, name: &str) -> String {
    format!("{prefix}@{name}.service")
}

/// /etc/postgresql/VERSION/CLUSTER with `auto` in start.conf, or without one (postgresql-common).
fn postgresql(walk: &Walk<'_>) -> Made {
    let mut out = Vec::new();
    for version in walk.entries("/etc/postgresql") {
        if !walk.root.exists(&format!("/usr/lib/postgresql/{version}/bin/postgres")) {
            continue;
        }
        for cluster in walk.entries(&format!("/etc/postgresql/{version}")) {
            let folder = format!("/etc/postgresql/{version}/{cluster}");
            if walk.root.link(&format!("{folder}/postgresql.conf")).is_err() {
                continue;
            }
            let start = match walk.root.text(&format!("{folder}/start.conf"), MAX_FILE) {
                Ok(text) => without_comments(&text).collect::<Vec<_>>().join("\n"),
                Err(_) => "auto".to_owned(),
            };
            if start == "auto" {
                out.push((instance("postgresql", &format!("{version}-{cluster}")), format!("{folder}/start.conf")));
            }
        }
    }
    Some(out)
}

/// `postfix@-`, and one for each folder of multi_instance_directories.
fn postfix(walk: &Walk<'_>) -> Made {
    let mut out = vec![(instance("postfix", "-"), "/etc/postfix".to_owned())];
    for folder in
        main_cf(walk, "/etc/postfix", "multi_instance_directories").unwrap_or_default().split([' ', ',', '\t'])
    {
        if folder.is_empty() {
            continue;
        }
        // A name made of other parameters is postconf's to compute.
        let name = main_cf(walk, folder, "multi_instance_name").filter(|n| !n.contains('$') && !n.is_empty())?;
        out.push((instance("postfix", &name), format!("{folder}/main.cf")));
    }
    Some(out).filter(|o| o.iter().all(|(_, from)| !from.contains('$')))
}

/// A parameter of main.cf: the last counts, a line that begins with white space goes on with the one before.
fn main_cf(walk: &Walk<'_>, folder: &str, parameter: &str) -> Option<String> {
    let text = walk.root.text(&format!("{folder}/main.cf"), MAX_FILE).ok()?;
    let mut found: Option<String> = None;
    let mut mine = false;
    for line in text.lines().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#')) {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = found.as_mut().filter(|_| mine) {
                value.push(' ');
                value.push_str(line.trim());
            }
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        mine = name.trim() == parameter;
        if mine {
            found = Some(value.trim().to_owned());
        }
    }
    found
}

/// AUTOSTART in /etc/default/openvpn: `all`, `none`, or names of /etc/openvpn/NAME.conf.
fn openvpn(walk: &Walk<'_>) -> Made {
    let text = walk.root.text("/etc/default/openvpn", MAX_FILE).unwrap_or_default();
    let wanted = without_comments(&text).filter_map(|l| l.strip_prefix("AUTOSTART=")).last().unwrap_or("all");
    let wanted = wanted.trim_matches(['"', '\'']);
    // A shell reads it.
    if wanted.contains(['$', '`', '\\', '"', '\'']) {
        return None;
    }
    let files = walk.entries("/etc/openvpn");
    let all: Vec<&str> = files.iter().filter_map(|f| f.strip_suffix(".conf")).collect();
    let names: Vec<&str> = match wanted {
        "none" => Vec::new(),
        "" | "all" => all,
        list => list.split_whitespace().filter(|n| all.contains(n)).collect(),
    };
    Some(names.into_iter().map(|n| (instance("openvpn", n), format!("/etc/openvpn/{n}.conf"))).collect())
}

/// `tor@default`, and one for each folder of /etc/tor/instances with a torrc.
fn tor(walk: &Walk<'_>) -> Made {
    let mut out = Vec::new();
    if walk.root.exists("/etc/tor/torrc") {
        out.push((instance("tor", "default"), "/etc/tor/torrc".to_owned()));
    }
    for name in walk.entries("/etc/tor/instances") {
        let torrc = format!("/etc/tor/instances/{name}/torrc");
        if walk.root.exists(&torrc) {
            out.push((instance("tor", &name), torrc));
        }
    }
    Some(out)
}

/// rc-local.service runs where /etc/rc.local is executable.
fn rc_local(walk: &Walk<'_>) -> Made {
    let real = walk.root.resolve("/etc/rc.local").ok()?;
    let runs = real.mode.is_some_and(|m| m & 0o111 != 0);
    Some(if runs { vec![("rc-local.service".to_owned(), "/etc/rc.local".to_owned())] } else { Vec::new() })
}
