//! What the first boot enables: where /etc/machine-id is missing or says `uninitialized`, systemd enables units by its
//! presets before it starts any (machine-id(5), systemd.preset(5)).

use super::walk::Walk;
use crate::manifest::systemd::index::Index;
use crate::manifest::systemd::name::is_template;
use crate::manifest::systemd::unit::Unit;

const PRESETS: [&str; 4] = [
    "/etc/systemd/system-preset",
    "/usr/local/lib/systemd/system-preset",
    "/usr/lib/systemd/system-preset",
    "/lib/systemd/system-preset",
];
const MAX_FILE: u64 = 1 << 20;

pub(super) fn enabled(walk: &mut Walk<'_>) {
    match walk.root.text("/etc/machine-id", 4096) {
        Ok(text) if text.trim() != "uninitialized" => return,
        Err(e) if !e.is_not_found() => return,
        _ => {}
    }
    let rules = rules(walk);
    // An alias is enabled by the name of its unit.
    let own: Vec<String> =
        walk.files.iter().filter(|name| Index::of(walk.root).main(name) == **name).cloned().collect();
    for name in own {
        let Ok(unit) = Unit::load(walk.root, &name, &mut Vec::new()) else { continue };
        let installs = ["WantedBy", "RequiredBy", "UpheldBy"].iter().any(|k| !unit.list("Install", k).is_empty());
        // The first rule that matches counts; without one a unit is enabled.
        let (enable, by, instances) = rules
            .iter()
            .find(|r| glob(r.pattern.as_bytes(), name.as_bytes()))
            .map_or((true, "no rule".to_owned(), Vec::new()), |r| (r.enable, r.place.clone(), r.instances.clone()));
        if !installs || !enable {
            continue;
        }
        let cause = format!("the first boot enables it (systemd.preset(5), {by})");
        if !is_template(&name) {
            walk.seed(name, cause);
            continue;
        }
        let default = unit.last("Install", "DefaultInstance").map(|e| e.value.clone());
        for instance in if instances.is_empty() { default.into_iter().collect() } else { instances } {
            walk.seed(name.replacen("@.", &format!("@{instance}."), 1), cause.clone());
        }
    }
}

struct Rule {
    enable: bool,
    pattern: String,
    instances: Vec<String>,
    place: String,
}

/// By file name over all folders; of two with the same name the first folder's counts.
fn rules(walk: &Walk<'_>) -> Vec<Rule> {
    let mut files = std::collections::BTreeMap::new();
    for folder in PRESETS {
        for file in walk.entries(folder).into_iter().filter(|f| f.ends_with(".preset")) {
            let path = format!("{folder}/{file}");
            files.entry(file).or_insert(path);
        }
    }
    let mut out = Vec::new();
    for path in files.into_values() {
        let Ok(text) = walk.root.text(&path, MAX_FILE) else { continue };
        for (n, line) in (1u32..).zip(text.lines()) {
            let mut words = line.split_whitespace();
            let enable = match words.next() {
                Some("enable") => true,
                Some("disable" | "ignore") => false,
                _ => continue,
            };
            let Some(pattern) = words.next().map(str::to_owned) else { continue };
            let instances = words.map(str::to_owned).collect();
            out.push(Rule { enable, pattern, instances, place: format!("{path}:{n}") });
        }
    }
    out
}

/// fnmatch(3) with `*`, `?` and `[…]`, for names without slashes.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => glob(rest, text) || (!text.is_empty() && glob(pattern, &text[1..])),
        ([b'?', rest @ ..], [_, tail @ ..]) => glob(rest, tail),
        ([b'[', rest @ ..], [c, tail @ ..]) => match rest.iter().skip(1).position(|b| *b == b']') {
            Some(end) => set(&rest[..=end], *c) && glob(&rest[end + 2..], tail),
            None => *c == b'[' && glob(rest, tail),
        },
        ([p, rest @ ..], [c, tail @ ..]) => p == c && glob(rest, tail),
        _ => false,
    }
}

fn set(members: &[u8], c: u8) -> bool {
    let (negated, mut rest) = match members {
        [b'!' | b'^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut found = false;
    while let Some((first, tail)) = rest.split_first() {
        rest = match tail {
            [b'-', last, behind @ ..] => {
                found |= (*first..=*last).contains(&c);
                behind
            }
            _ => {
                found |= *first == c;
                tail
            }
        };
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preset_patterns() {
        let matches = |p: &str, t: &str| glob(p.as_bytes(), t.as_bytes());
        for (pattern, yes, no) in [
            ("*", "a.service", ""),
            ("systemd-journal-*.*", "systemd-journal-remote.socket", "systemd-journald.service"),
            ("a?c.service", "abc.service", "ac.service"),
            ("a[0-9x]*", "a5.service", "ab.service"),
            ("a[!0-9]", "ab", "a1"),
        ] {
            assert!(matches(pattern, yes), "{pattern}");
            assert!(no.is_empty() || !matches(pattern, no), "{pattern}");
        }
    }
}
