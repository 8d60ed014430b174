//! Stanzas of dpkg's status file, and of the files beside it that have the same form (deb-control(5)).

use std::collections::BTreeMap;

use serde::Serialize;

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Package {
    /// Name.
    pub name: String,
    /// The source package, where it has another name.
    pub source: Option<String>,
    /// `required`, `important`, `standard`, `optional` …
    pub priority: String,
    /// `Essential: yes`.
    pub essential: bool,
    /// Configuration files.
    pub conffiles: Vec<String>,
    /// `Multi-Arch: same`: several architectures of it stand beside each other, each with a list of its own.
    pub side_by_side: bool,
}

impl Package {
    /// The source package.
    pub fn source(&self) -> &str {
        self.source.as_deref().unwrap_or(&self.name)
    }
    /// Whether Debian counts it to the base system: what debootstrap installs, and the init system.
    pub fn is_base(&self) -> bool {
        self.essential
            || matches!(self.priority.as_str(), "required" | "important" | "standard")
            || matches!(self.source(), "systemd" | "dbus")
    }
}

/// What stanzas say of each package and architecture; the last one counts.
#[derive(Debug, Default)]
pub(super) struct States(BTreeMap<(String, String), Option<Package>>);

impl States {
    /// Reads stanzas. `all`: those without a state are installed too. Names of fields are in either case.
    pub(super) fn read(&mut self, text: &str, all: bool) {
        for stanza in text.split("\n\n") {
            let (mut package, mut architecture) = (Package::default(), String::new());
            let mut installed = all;
            let mut field = String::new();
            for line in stanza.lines() {
                if line.starts_with([' ', '\t']) {
                    if field == "conffiles" {
                        package.conffiles.extend(conffile(line).map(str::to_owned));
                    }
                    continue;
                }
                let Some((key, value)) = line.split_once(':') else { continue };
                field = key.trim_end().to_ascii_lowercase();
                let value = value.trim();
                match field.as_str() {
                    "package" => package.name = value.to_ascii_lowercase(),
                    "architecture" => value.clone_into(&mut architecture),
                    // `nginx (1.22.1-9)`: the version in brackets is not part of the name.
                    "source" => package.source = value.split_whitespace().next().map(str::to_owned),
                    "priority" => package.priority = value.to_ascii_lowercase(),
                    "essential" => package.essential = value.eq_ignore_ascii_case("yes"),
                    "multi-arch" => package.side_by_side = value.eq_ignore_ascii_case("same"),
                    // `half-configured` and the like have their files, too.
                    "status" => {
                        let state = value.split_whitespace().last().unwrap_or_default().to_ascii_lowercase();
                        installed = !matches!(&*state, "not-installed" | "config-files");
                    }
                    _ => {}
                }
            }
            if !package.name.is_empty() {
                self.0.insert((package.name.clone(), architecture), installed.then_some(package));
            }
        }
    }

    /// Whether a package is installed, of this architecture where one is named.
    pub(super) fn installed(&self, name: &str, architecture: Option<&str>) -> bool {
        let from = (name.to_owned(), String::new());
        let same = self.0.range(from..).take_while(|((n, _), _)| n == name);
        same.filter(|((_, a), _)| architecture.is_none_or(|want| a == want || a.is_empty())).any(|(_, p)| p.is_some())
    }

    /// Whether the lists of a package have its architecture in their names.
    pub(super) fn side_by_side(&self, name: &str) -> bool {
        let from = (name.to_owned(), String::new());
        self.0
            .range(from..)
            .take_while(|((n, _), _)| n == name)
            .any(|(_, p)| p.as_ref().is_some_and(|p| p.side_by_side))
    }

    /// The installed packages by name.
    pub(super) fn packages(self) -> BTreeMap<String, Package> {
        self.0.into_values().flatten().map(|p| (p.name.clone(), p)).collect()
    }
}

/// The path of a line of `Conffiles:`, which may hold blanks: what follows it is a checksum or `newconffile`, and flags.
fn conffile(line: &str) -> Option<&str> {
    let mut line = line.trim();
    while let Some(rest) = ["obsolete", "remove-on-upgrade"].iter().find_map(|flag| line.strip_suffix(flag)) {
        line = rest.trim_end();
    }
    line.rsplit_once(' ').map(|(path, _)| path).filter(|p| p.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn configuration_files_with_blanks_and_flags() {
        let sum = "0123456789abcdef0123456789abcdef";
        for (line, path) in [
            (format!(" /etc/a {sum}"), Some("/etc/a")),
            (format!(" /etc/a b.conf {sum} obsolete"), Some("/etc/a b.conf")),
            (format!(" /etc/a {sum} remove-on-upgrade"), Some("/etc/a")),
            (" /etc/a newconffile".to_owned(), Some("/etc/a")),
            (" /etc/a".to_owned(), None),
            (" ".to_owned(), None),
        ] {
            assert_eq!(conffile(&line), path, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|[\\n: ])*") {
            States::default().read(&text, false);
        }
    }
}
