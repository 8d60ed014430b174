//! `ExecStart=` and its kin: prefixes, words, several commands in one line (systemd.service(5), "Command lines").

use serde::Serialize;

use super::specifier::{self, SpecifierError};

/// Words of one command line.
const MAX_WORDS: usize = 10_000;

/// The special characters in front of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Prefixes {
    /// `-`: a failure is no failure.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandLine {
    /// Prefixes.
    pub prefixes: Prefixes,
    /// The program as written, specifiers expanded; absolute, or a name that is searched for.
    pub program: String,
    /// Arguments behind the program, specifiers expanded, `$VARIABLES` as written.
    pub arguments: Vec<String>,
    /// What is not known of the arguments, which then stand as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// Why a command line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Quotes.
    #[error("a quote is not closed")]
    Quote,
    /// An escape that systemd does not know.
    #[error("`\\{0}` is no escape of systemd.syntax(7)")]
    Escape(char),
    /// Specifiers.
    #[error(transparent)]
    Specifier(#[from] SpecifierError),
    /// Prefixes alone, or nothing.
    #[error("there is no program")]
    Empty,
    /// The program is a variable.
    #[error("the program is a variable (`{0}`), known only on the running machine")]
    Variable(String),
    /// More words than any real command has.
    #[error("it has more than 10000 words")]
    TooLong,
}

/// Splits a value into its commands. `unit` is the unit's name, for specifiers.
pub fn commands(value: &str, unit: &str) -> Result<Vec<CommandLine>, CommandError> {
    let mut out = Vec::new();
    let mut current: Vec<String> = Vec::new();
    for word in words(value)? {
        // A lone unquoted `;` ends a command; `\;` is a literal one.
        if word.bare && word.text == ";" {
            if !current.is_empty() {
                out.push(command(std::mem::take(&mut current), unit)?);
            }
            continue;
        }
        let text = if word.bare && word.text == "\\;" { ";".to_owned() } else { word.text };
        current.push(text);
    }
    if !current.is_empty() {
        out.push(command(current, unit)?);
    }
    if out.is_empty() { Err(CommandError::Empty) } else { Ok(out) }
}

fn command(words: Vec<String>, unit: &str) -> Result<CommandLine, CommandError> {
    let mut words = words.into_iter();
    let first = words.next().ok_or(CommandError::Empty)?;
    let mut prefixes = Prefixes::default();
    let mut rest = first.as_str();
    while let Some(c) = rest.chars().next() {
        match c {
            '-' => prefixes.ignore_failure = true,
            '@' => prefixes.argv0 = true,
            ':' => prefixes.no_environment = true,
            '+' => prefixes.full_privileges = true,
            '!' => prefixes.keep_user = !rest.starts_with("!!"),
            '|' => {}
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
    let mut unknown = Vec::new();
    let mut argument = |word: String| match specifier::expand(&word, unit) {
        Err(e @ SpecifierError::RunTime(_)) => {
            unknown.push(format!("of the argument `{word}`, {e}"));
            Ok(word)
        }
        other => other,
    };
    let arguments = words.map(&mut argument).collect::<Result<_, _>>()?;
    Ok(CommandLine { prefixes, program, arguments, unknown })
}

struct Word {
    text: String,
    /// Neither quoted nor escaped.
    bare: bool,
}

/// Splits as systemd's extract_first_word() with EXTRACT_UNQUOTE and EXTRACT_CUNESCAPE.
fn words(value: &str) -> Result<Vec<Word>, CommandError> {
    let mut out: Vec<Word> = Vec::new();
    let mut chars = value.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(out);
        }
        if out.len() == MAX_WORDS {
            return Err(CommandError::TooLong);
        }
        let mut word = Word { text: String::new(), bare: true };
        let mut quote: Option<char> = None;
        while let Some(c) = chars.next() {
            match (c, quote) {
                ('\\', _) => {
                    let next = chars.next();
                    if next == Some(';') && word.text.is_empty() && chars.peek().is_none_or(|c| c.is_ascii_whitespace())
                    {
                        word.text.push_str("\\;");
                    } else {
                        word.bare = false;
                        escape(next, &mut chars, &mut word.text)?;
                    }
                }
                (c, Some(q)) if c == q => quote = None,
                (c, Some(_)) => word.text.push(c),
                ('\'' | '"', None) => {
                    quote = Some(c);
                    word.bare = false;
                }
                (c, None) if c.is_ascii_whitespace() => break,
                (c, None) => word.text.push(c),
            }
        }
        if quote.is_some() {
            return Err(CommandError::Quote);
        }
        out.push(word);
    }
}

fn escape(
    c: Option<char>,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
) -> Result<(), CommandError> {
    let simple = match c {
        Some('a') => '\u{7}',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('v') => '\u{b}',
        Some('s') => ' ',
        Some(c @ ('\\' | '"' | '\'')) => c,
        Some(kind @ ('x' | 'u' | 'U')) => {
            let count = [('x', 2), ('u', 4), ('U', 8)].into_iter().find(|(k, _)| *k == kind).map_or(2, |(_, n)| n);
            number(chars, count, 16).ok_or(CommandError::Escape(kind))?
        }
        Some(c @ '0'..='3') => {
            let mut value = c.to_digit(8).unwrap_or(0);
            for _ in 0..2 {
                let digit = chars.next().and_then(|d| d.to_digit(8)).ok_or(CommandError::Escape(c))?;
                value = value * 8 + digit;
            }
            char::from_u32(value).filter(|c| *c != '\0').ok_or(CommandError::Escape(c))?
        }
        Some(other) => return Err(CommandError::Escape(other)),
        None => '\\',
    };
    out.push(simple);
    Ok(())
}

fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, count: usize, radix: u32) -> Option<char> {
    let mut value = 0u32;
    for _ in 0..count {
        value = value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    char::from_u32(value).filter(|c| *c != '\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(value: &str) -> CommandLine {
        commands(value, "web@blue.service").unwrap().remove(0)
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
        assert!(c.unknown[0].contains("`%H` is known only"), "{:?}", c.unknown);
    }

    #[test]
    fn semicolons_separate_only_when_bare() {
        let got = commands("/bin/a x ; /bin/b \\; y ';'", "u.service").unwrap();
        assert_eq!(got.len(), 2);
        assert_eq!(got[1].arguments, [";", "y", ";"]);
    }

    #[test]
    fn bad_lines_say_why() {
        for (value, error) in [
            ("/bin/a 'x", CommandError::Quote),
            ("", CommandError::Empty),
            ("-", CommandError::Empty),
            ("/bin/a \\q", CommandError::Escape('q')),
            ("$SHELL -c x", CommandError::Variable("$SHELL".into())),
            ("/bin/%H", CommandError::Specifier(SpecifierError::RunTime('H'))),
        ] {
            assert_eq!(commands(value, "u.service"), Err(error), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(value in "(\\PC|[ '\"\\\\;%$@!+:-])*") {
            let _ = commands(&value, "u@i.service");
        }
    }
}
