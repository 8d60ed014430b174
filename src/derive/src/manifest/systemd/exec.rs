//! `ExecStart=` and its kin: prefixes, words, several commands in one line (systemd.service(5), "Command lines").

use std::collections::BTreeSet;

use serde::Serialize;

use super::environment::Environment;
use super::specifier::{self, SpecifierError};
use super::words::{Escapes, Unbalanced, words};

/// Words of one command line.
const MAX_WORDS: usize = 10_000;

/// The special characters in front of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Prefixes {
    /// `-`: a failure is not a failure.
    pub ignore_failure: bool,
    /// `@`: the second word is argv\[0].
    pub argv0: bool,
    /// `:`: no environment substitution.
    pub no_environment: bool,
    /// `+`: with full privileges, outside the sandboxing settings.
    pub full_privileges: bool,
    /// `!` or `!!`: User=, Group= do not apply (`!!` where ambient capabilities exist, so not).
    pub keep_user: bool,
}

/// One command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CommandLine {
    /// Prefixes.
    pub prefixes: Prefixes,
    /// The program as written, specifiers expanded; absolute, or a name that is searched for.
    pub program: String,
    /// Arguments behind the program, specifiers and variables expanded.
    pub arguments: Vec<String>,
    /// The places of arguments that only the running machine knows; these are as written.
    pub unknown: BTreeSet<usize>,
}

/// Why a command line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Quotes.
    #[error(transparent)]
    Quote(#[from] Unbalanced),
    /// Specifiers.
    #[error(transparent)]
    Specifier(#[from] SpecifierError),
    /// Prefixes alone, or nothing.
    #[error("there is no program")]
    Empty,
    /// The program is a variable.
    #[error("the program is a variable (`{0}`), which systemd does not expand there")]
    Variable(String),
    /// More words than any real command has.
    #[error("it has more than 10000 words")]
    TooLong,
}

/// Splits a value into its commands. `unit` is the unit's name, for specifiers.
pub fn commands(value: &str, unit: &str, environment: &Environment) -> Result<Vec<CommandLine>, CommandError> {
    let mut out = Vec::new();
    let mut current: Vec<String> = Vec::new();
    let words = words(value, Escapes::C)?;
    if words.len() > MAX_WORDS {
        return Err(CommandError::TooLong);
    }
    for word in words {
        // A lone unquoted `;` ends a command; `\;` is a literal one.
        if word.bare && word.text == ";" {
            if !current.is_empty() {
                out.push(command(std::mem::take(&mut current), unit, environment)?);
            }
            continue;
        }
        let text = if word.bare && word.text == "\\;" { ";".to_owned() } else { word.text };
        current.push(text);
    }
    if !current.is_empty() {
        out.push(command(current, unit, environment)?);
    }
    if out.is_empty() { Err(CommandError::Empty) } else { Ok(out) }
}

fn command(words: Vec<String>, unit: &str, environment: &Environment) -> Result<CommandLine, CommandError> {
    let mut words = words.into_iter();
    let first = words.next().ok_or(CommandError::Empty)?;
    let mut prefixes = Prefixes::default();
    let mut by_shell = false;
    let mut rest = first.as_str();
    while let Some(c) = rest.chars().next() {
        match c {
            '-' => prefixes.ignore_failure = true,
            '@' => prefixes.argv0 = true,
            ':' => prefixes.no_environment = true,
            '+' => prefixes.full_privileges = true,
            '!' => prefixes.keep_user = !rest.starts_with("!!"),
            '|' => by_shell = true,
            _ => break,
        }
        rest = rest.strip_prefix("!!").unwrap_or(&rest[c.len_utf8()..]);
    }
    let program = specifier::expand(rest, unit)?;
    if program.is_empty() {
        return Err(CommandError::Empty);
    }
    if program.starts_with('$') && !prefixes.no_environment {
        return Err(CommandError::Variable(program));
    }
    if prefixes.argv0 {
        words.next();
    }
    let mut line = CommandLine { prefixes, program, ..CommandLine::default() };
    for word in words {
        let expanded = specifier::expand(&word, unit);
        let texts = match &expanded {
            Ok(text) if prefixes.no_environment => Some(vec![text.clone()]),
            Ok(text) => environment.replace(text),
            Err(_) => None,
        };
        match texts {
            Some(texts) => line.arguments.extend(texts),
            None => {
                line.unknown.insert(line.arguments.len());
                line.arguments.push(expanded.unwrap_or(word));
            }
        }
    }
    if by_shell {
        // The user's shell, to which systemd 258 hands the words as one text.
        let text = [vec![line.program], line.arguments].concat().join(" ");
        let unknown = if line.unknown.is_empty() { BTreeSet::new() } else { BTreeSet::from([1]) };
        line = CommandLine { program: "/bin/sh".to_owned(), arguments: vec!["-c".to_owned(), text], unknown, ..line };
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(value: &str) -> CommandLine {
        commands(value, "web@blue.service", &Environment::default()).unwrap().remove(0)
    }

    #[test]
    fn debians_nginx() {
        let c = one("/usr/sbin/nginx -g 'daemon on; master_process on;' -s reload");
        assert_eq!(c.program, "/usr/sbin/nginx");
        assert_eq!(c.arguments, ["-g", "daemon on; master_process on;", "-s", "reload"]);
        let c = one("-/sbin/start-stop-daemon --quiet --stop --retry QUIT/5 --pidfile /run/nginx.pid");
        assert!(c.prefixes.ignore_failure);
        assert_eq!(c.program, "/sbin/start-stop-daemon");
    }

    #[test]
    fn prefixes_quotes_escapes_specifiers() {
        let c = one("@-/bin/sh zero \"a b\" 'c\\x41' d\\se %i%%");
        assert!(c.prefixes.argv0 && c.prefixes.ignore_failure);
        assert_eq!(c.arguments, ["a b", "cA", "d e", "blue%"]);
        assert!(one("+!/bin/x").prefixes.full_privileges);
        assert!(one("!/bin/x").prefixes.keep_user && !one("!!/bin/x").prefixes.keep_user);
        assert_eq!(one("\"/bin/with space\" x").program, "/bin/with space");
    }

    #[test]
    fn what_only_the_machine_knows_costs_its_argument() {
        let c = one("/usr/bin/node --name %H --file /etc/x");
        assert_eq!((c.arguments.len(), c.unknown.len()), (4, 1));
        assert!(c.unknown.contains(&1));
    }

    #[test]
    fn semicolons_separate_only_when_bare() {
        let got = commands("/bin/a x ; /bin/b \\; y ';'", "u.service", &Environment::default()).unwrap();
        assert_eq!(got.len(), 2);
        assert_eq!(got[1].arguments, [";", "y", ";"]);
    }

    #[test]
    fn one_word_that_is_not_known_costs_that_word() {
        let c = one("/bin/a --node=%H \\q %! x% --conf /etc/passwd");
        assert_eq!(c.arguments, ["--node=%H", "\\q", "%!", "x%", "--conf", "/etc/passwd"]);
        assert_eq!(c.unknown.into_iter().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn bad_lines_say_why() {
        for (value, error) in [
            ("/bin/a 'x", CommandError::Quote(Unbalanced)),
            ("", CommandError::Empty),
            ("-", CommandError::Empty),
            ("$SHELL -c x", CommandError::Variable("$SHELL".into())),
            ("/bin/%H", CommandError::Specifier(SpecifierError::RunTime('H'))),
        ] {
            assert_eq!(commands(value, "u.service", &Environment::default()), Err(error), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(value in "(\\PC|[ '\"\\\\;%$@!+:-])*") {
            let _ = commands(&value, "u@i.service", &Environment::default());
        }
    }
}
