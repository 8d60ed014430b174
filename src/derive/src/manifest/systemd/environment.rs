//! The environment of a service: Environment=, EnvironmentFile=, and what systemd sets (systemd.exec(5)).

use std::collections::BTreeMap;

use super::specifier;
use super::unit::Unit;
use super::words::{Escapes, words};
use crate::manifest::root::Root;
use crate::manifest::{Note, Origin};

/// Bytes of one EnvironmentFile=.
const MAX_FILE: u64 = 1 << 20;

/// Variables that systemd sets and that only the running machine knows.
const RUN_TIME: [&str; 22] = [
    "MAINPID",
    "MANAGERPID",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "SERVICE_RESULT",
    "EXIT_CODE",
    "EXIT_STATUS",
    "MONITOR_SERVICE_RESULT",
    "MONITOR_UNIT",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TERM",
];

/// The variables by name; `None` for one that only the running machine knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, Option<(String, Option<Origin>)>>);

impl Environment {
    /// Reads a unit's.
    pub fn of(root: &Root, unit: &Unit, notes: &mut Vec<Note>) -> Environment {
        let mut out = Environment::default();
        out.set_by_systemd(unit);
        for entry in unit.list("Service", "PassEnvironment") {
            for word in words(&entry.value, Escapes::Plain).unwrap_or_default() {
                out.0.insert(word.text, None);
            }
        }
        for entry in unit.list("Service", "Environment") {
            let Ok(list) = words(&entry.value, Escapes::C) else {
                notes.push(Note::new(entry.origin.clone(), "Environment= is left out: a quote is not closed"));
                continue;
            };
            for word in list {
                let Some((name, value)) = word.text.split_once('=').filter(|(n, _)| is_name(n)) else { continue };
                let value = specifier::expand(value, &unit.name).ok().map(|v| (v, Some(entry.origin.clone())));
                out.0.insert(name.to_owned(), value);
            }
        }
        for entry in unit.list("Service", "EnvironmentFile") {
            let optional = entry.value.starts_with('-');
            let path = entry.value.strip_prefix('-').unwrap_or(&entry.value);
            let found = specifier::expand(path, &unit.name)
                .map_err(|e| e.to_string())
                .and_then(|p| root.glob(&p).map_err(|e| e.to_string()));
            let files = match found {
                Ok(files) => files,
                Err(e) => {
                    notes.push(Note::new(entry.origin.clone(), format!("EnvironmentFile= is left out: {e}")));
                    continue;
                }
            };
            if files.is_empty() && !optional {
                let text = format!("the image has no `{path}`: the variables that it sets are taken to be unset");
                notes.push(Note::new(entry.origin.clone(), text));
            }
            for file in files {
                match root.text(&file, MAX_FILE) {
                    Ok(text) => out.0.extend(
                        assignments(&text)
                            .into_iter()
                            .map(|(line, name, value)| (name, Some((value, Some(Origin::line(&file, line)))))),
                    ),
                    Err(e) => notes.push(Note::new(entry.origin.clone(), e.to_string())),
                }
            }
        }
        for entry in unit.list("Service", "UnsetEnvironment") {
            for word in words(&entry.value, Escapes::C).unwrap_or_default() {
                out.0.remove(word.text.split('=').next().unwrap_or_default());
            }
        }
        out
    }

    fn set_by_systemd(&mut self, unit: &Unit) {
        for name in RUN_TIME {
            self.0.insert(name.to_owned(), None);
        }
        let mut set = |name: &str, value: String| self.0.insert(name.to_owned(), Some((value, None)));
        set("NOTIFY_SOCKET", "/run/systemd/notify".to_owned());
        if let Ok(folder) = specifier::expand("/run/credentials/%n", &unit.name) {
            set("CREDENTIALS_DIRECTORY", folder);
        }
        for (key, name, base) in [
            ("RuntimeDirectory", "RUNTIME_DIRECTORY", "/run"),
            ("StateDirectory", "STATE_DIRECTORY", "/var/lib"),
            ("CacheDirectory", "CACHE_DIRECTORY", "/var/cache"),
            ("LogsDirectory", "LOGS_DIRECTORY", "/var/log"),
            ("ConfigurationDirectory", "CONFIGURATION_DIRECTORY", "/etc"),
        ] {
            let list = unit.list("Service", key);
            let words = list.iter().flat_map(|e| words(&e.value, Escapes::Plain).unwrap_or_default());
            let paths: Vec<String> = words
                .filter_map(|w| specifier::expand(w.text.split(':').next().unwrap_or_default(), &unit.name).ok())
                .map(|name| format!("{base}/{name}"))
                .collect();
            if !paths.is_empty() {
                set(name, paths.join(":"));
            }
        }
    }

    /// The value of a variable, and what sets it.
    pub fn get(&self, name: &str) -> Option<(&str, Option<&Origin>)> {
        self.0.get(name)?.as_ref().map(|(value, origin)| (value.as_str(), origin.as_ref()))
    }

    /// Sets a variable, as `env NAME=VALUE` does.
    pub fn set(&mut self, name: &str, value: &str, origin: &Origin) {
        if is_name(name) {
            self.0.insert(name.to_owned(), Some((value.to_owned(), Some(origin.clone()))));
        }
    }

    /// A word of a command line with its variables replaced: `$X` alone is any number of words, `${X}` part of one. One that
    /// is not set is nothing. `None` where the running machine alone knows.
    pub fn replace(&self, word: &str) -> Option<Vec<String>> {
        if let Some(name) = word.strip_prefix('$').filter(|n| !n.is_empty() && !n.starts_with(['{', '$'])) {
            return match self.0.get(name) {
                Some(None) => None,
                Some(Some((value, _))) => {
                    Some(words(value, Escapes::C).unwrap_or_default().into_iter().map(|w| w.text).collect())
                }
                None => Some(Vec::new()),
            };
        }
        let mut out = String::with_capacity(word.len());
        let mut rest = word;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let tail = &rest[at + 1..];
            if let Some(tail) = tail.strip_prefix('$') {
                out.push('$');
                rest = tail;
            } else if let Some((name, tail)) = tail.strip_prefix('{').and_then(|t| t.split_once('}')) {
                match self.0.get(name) {
                    Some(None) => return None,
                    Some(Some((value, _))) => out.push_str(value),
                    None => {}
                }
                rest = tail;
            } else {
                out.push('$');
                rest = tail;
            }
        }
        out.push_str(rest);
        Some(vec![out])
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The assignments of an environment file with their lines (parse_env_file() of systemd).
fn assignments(text: &str) -> Vec<(u32, String, String)> {
    let mut out = Vec::new();
    let mut lines = (1u32..).zip(text.lines());
    while let Some((n, line)) = lines.next() {
        let line = line.trim_start();
        if line.starts_with(['#', ';']) {
            continue;
        }
        let Some((name, first)) = line.split_once('=').map(|(n, v)| (n.trim_end(), v)) else { continue };
        if !is_name(name) {
            continue;
        }
        let mut value = String::new();
        let mut quote: Option<char> = None;
        let mut chars = first.trim_start().chars();
        // Blanks at the end count only in quotes.
        let mut keep = 0;
        loop {
            match (chars.next(), quote) {
                (Some('\\'), q) if q != Some('\'') => match chars.next() {
                    Some(c) if q.is_some() && !matches!(c, '"' | '\\' | '`' | '$') => value.extend(['\\', c]),
                    Some(c) => value.push(c),
                    None => match lines.next() {
                        Some((_, line)) => {
                            chars = line.chars();
                            continue;
                        }
                        None => break,
                    },
                },
                (Some(c), Some(q)) if c == q => quote = None,
                (Some(c @ ('"' | '\'')), None) => quote = Some(c),
                (Some(c), q) => {
                    value.push(c);
                    if q.is_none() && c.is_whitespace() {
                        continue;
                    }
                }
                (None, Some(_)) => match lines.next() {
                    Some((_, line)) => {
                        value.push('\n');
                        chars = line.chars();
                    }
                    None => break,
                },
                (None, None) => break,
            }
            keep = value.len();
        }
        value.truncate(keep);
        out.push((n, name.to_owned(), value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;
    use proptest::prelude::*;

    #[test]
    fn settings_files_and_what_systemd_sets() {
        let (_dir, root) = image(&[
            (
                "usr/lib/systemd/system/a.service",
                "[Service]\nEnvironment=A=1 \"B=x y\" C=%p\nEnvironmentFile=-/etc/default/*\nEnvironmentFile=/etc/none\nPassEnvironment=P\nStateDirectory=s\nUnsetEnvironment=C\nExecStart=/a\n",
            ),
            ("etc/default/a", "# c\nB=\"two words\" \nOPTS='-c /x' -d\\\n e \nbad line\n"),
        ]);
        let mut notes = Vec::new();
        let unit = Unit::load(&root, "a.service", &mut notes).unwrap();
        let e = Environment::of(&root, &unit, &mut notes);
        assert_eq!(e.get("B").unwrap().0, "two words");
        assert_eq!(e.get("OPTS").unwrap().0, "-c /x -d e");
        assert_eq!(e.get("B").unwrap().1.unwrap().to_string(), "/etc/default/a:2");
        assert_eq!(e.replace("$OPTS").unwrap(), ["-c", "/x", "-d", "e"]);
        assert_eq!(e.replace("--x=${A}${B}$$A$A").unwrap(), ["--x=1two words$A$A"]);
        assert_eq!(e.replace("$C").unwrap(), Vec::<String>::new());
        assert_eq!(e.replace("${STATE_DIRECTORY}/x").unwrap(), ["/var/lib/s/x"]);
        assert_eq!((e.replace("$P"), e.replace("-${MAINPID}")), (None, None));
        assert_eq!(notes.len(), 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|[\\n'\"\\\\=$ {}])*") {
            let _ = assignments(&text);
            let _ = Environment::default().replace(&text);
        }
    }
}
