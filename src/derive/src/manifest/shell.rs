//! Commands in a text for the shell (`sh -c TEXT`), as far as they are plain. Nothing is guessed: where a word is made by the
//! shell, it is unknown, and where the text is more than commands in a row, it says so.

/// Shells by the name of their program.
const SHELLS: [&str; 9] = ["sh", "dash", "bash", "ash", "zsh", "ksh", "mksh", "ksh93", "rbash"];

/// What is not a program of its own (POSIX, and what bash and dash have built in).
const BUILT_IN: [&str; 44] = [
    ":", "[", "[[", "alias", "bg", "break", "cd", "continue", "declare", "echo", "export", "false", "fg", "getopts",
    "hash", "jobs", "kill", "let", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift", "shopt",
    "test", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait", "exit", "builtin",
    "disown", "mapfile", "typeset", "pushd", "popd",
];

/// Words behind which a command stands.
const RESERVED: [&str; 14] =
    ["if", "then", "elif", "else", "fi", "while", "until", "do", "done", "!", "{", "}", "exec", "command"];

/// What a text runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Each command's words; `None` for one that the shell makes.
    pub commands: Vec<Vec<Option<String>>>,
    /// Files that `<` reads.
    pub reads: Vec<String>,
    /// Files that `>` and `>>` write.
    pub writes: Vec<String>,
    /// Why the text may run more than these commands.
    pub open: Option<&'static str>,
}

/// Whether the program is a shell.
pub fn is_shell(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|n| SHELLS.contains(&n))
}

/// The place of the text behind `-c` among a shell's arguments; `None` without one.
pub fn text_of(arguments: &[String]) -> Option<usize> {
    let (mut n, mut text) = (0, false);
    while let Some(word) = arguments.get(n) {
        n += 1;
        if word == "--" || word == "-" {
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            n += usize::from(matches!(long, "rcfile" | "init-file"));
            continue;
        }
        let Some(cluster) = word.strip_prefix(['-', '+']) else {
            n -= 1;
            break;
        };
        text |= word.starts_with('-') && cluster.contains('c');
        // `-o pipefail`, `-O extglob`, each with a word of its own.
        n += cluster.matches(['o', 'O']).count();
    }
    // The options may end after `-c`, too.
    (text && n < arguments.len()).then_some(n)
}

enum Token {
    Word {
        text: Option<String>,
        bare: bool,
        assigns: bool,
    },
    /// `;`, `|`, `&&` and the like, brackets, ends of lines.
    Cut,
    /// `<`, `>` or `>>`.
    Redirect(char),
}

/// Reads a text.
pub fn read(text: &str) -> Script {
    let mut out = Script::default();
    script(text, 0, &mut out);
    out
}

fn script(text: &str, depth: usize, out: &mut Script) {
    if depth > 4 {
        out.open = Some("it is nested deeper than 4");
        return;
    }
    let mut rest = text;
    let mut words: Vec<Option<String>> = Vec::new();
    let mut redirect = None;
    // Behind `exec`, which has options of its own, and `command`.
    let mut options = None;
    // At the place of a command's name.
    let mut head = true;
    while let Some((token, tail)) = token(rest, depth, out) {
        let before = std::mem::replace(&mut rest, tail);
        match token {
            Token::Cut => {
                if words.len() == 1 && tail.trim_start().starts_with(')') && before.trim_start().starts_with('(') {
                    out.open = Some("it defines functions");
                }
                finish(&mut words, out);
                head = true;
            }
            Token::Redirect(sign) => redirect = Some(sign),
            Token::Word { text, bare, assigns } => {
                if let Some(sign) = redirect.take() {
                    match text {
                        Some(path) if path.starts_with('/') && sign == '<' => out.reads.push(path),
                        Some(path) if path.starts_with('/') => out.writes.push(path),
                        Some(path)
                            if path.starts_with('&') || path.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {}
                        _ => out.open = Some("it opens files that it names by variables or relative to a folder"),
                    }
                    continue;
                }
                let known = text.as_deref().unwrap_or_default();
                if head && bare {
                    match known {
                        "for" | "case" | "select" | "function" => {
                            out.open = Some("it has loops, cases or functions");
                        }
                        "eval" | "." | "source" => out.open = Some("it runs texts that it makes or reads itself"),
                        w if RESERVED.contains(&w) => {
                            options = matches!(w, "exec" | "command").then_some(false);
                            continue;
                        }
                        _ => {}
                    }
                }
                if head && assigns {
                    continue;
                }
                // `exec -a NAME PROGRAM`
                match options {
                    Some(true) => {
                        options = Some(false);
                        continue;
                    }
                    Some(false) if head && known.len() > 1 && known.starts_with('-') => {
                        options = Some(known != "--" && known.ends_with('a'));
                        continue;
                    }
                    _ => {}
                }
                options = None;
                head = false;
                words.push(text);
            }
        }
    }
    finish(&mut words, out);
}

fn finish(words: &mut Vec<Option<String>>, out: &mut Script) {
    let words = std::mem::take(words);
    match words.first() {
        None => {}
        Some(None) => out.open = Some("it runs a program that it names by a variable"),
        Some(Some(name)) if BUILT_IN.contains(&name.as_str()) => {}
        Some(Some(name)) if name.is_empty() => {}
        Some(_) => out.commands.push(words),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The next token and the text behind it.
fn token<'a>(text: &'a str, depth: usize, out: &mut Script) -> Option<(Token, &'a str)> {
    let mut rest = text.trim_start_matches([' ', '\t']);
    if let Some(tail) = rest.strip_prefix("\\\n") {
        rest = tail.trim_start_matches([' ', '\t']);
    }
    let first = rest.chars().next()?;
    match first {
        '\n' | ';' | '&' | '|' | '(' | ')' => return Some((Token::Cut, &rest[1..])),
        '#' => return Some((Token::Cut, rest.find('\n').map_or("", |n| &rest[n..]))),
        '<' | '>' => return Some((Token::Redirect(first), redirected(rest, out))),
        '0'..='9' if rest[1..].starts_with(['<', '>']) => {
            return Some((Token::Redirect(rest[1..].chars().next()?), redirected(&rest[1..], out)));
        }
        _ => {}
    }
    let mut word = Some(String::new());
    let mut bare = true;
    let mut quoted = false;
    let mut assigns = false;
    while let Some(c) = rest.chars().next() {
        let tail = &rest[c.len_utf8()..];
        match c {
            '\'' if !quoted => {
                bare = false;
                let Some(end) = tail.find('\'') else {
                    out.open = Some("a quote is not closed");
                    return Some((Token::Word { text: None, bare: false, assigns: false }, ""));
                };
                word = word.map(|w| w + &tail[..end]);
                rest = &tail[end + 1..];
                continue;
            }
            '"' => {
                bare = false;
                quoted = !quoted;
            }
            '\\' => {
                bare = false;
                let Some(next) = tail.chars().next() else {
                    rest = "";
                    break;
                };
                if let Some(w) = &mut word {
                    // In double quotes a backslash quotes only these.
                    if quoted && !matches!(next, '$' | '`' | '"' | '\\' | '\n') {
                        w.push('\\');
                    }
                    w.push(next);
                }
                rest = &tail[next.len_utf8()..];
                continue;
            }
            '`' => {
                word = None;
                let end = tail.find('`').unwrap_or(tail.len());
                script(&tail[..end], depth + 1, out);
                rest = tail.get(end + 1..).unwrap_or_default();
                continue;
            }
            '$' => {
                word = None;
                rest = match tail.strip_prefix('(').filter(|t| !t.starts_with('(')) {
                    Some(inner) => {
                        let end = closing(inner);
                        script(&inner[..end], depth + 1, out);
                        inner.get(end + 1..).unwrap_or_default()
                    }
                    None if tail.starts_with("((") || tail.starts_with('{') => {
                        let close = if tail.starts_with('{') { "}" } else { "))" };
                        let end = tail.find(close).map_or(tail.len(), |n| n + close.len());
                        if tail[..end].contains(['`', '(']) && close == "}" {
                            out.open = Some("it runs commands within a variable");
                        }
                        &tail[end..]
                    }
                    None => tail,
                };
                continue;
            }
            '*' | '?' | '~' if !quoted => word = None,
            ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' if !quoted => break,
            c => {
                if let Some(w) = &mut word {
                    assigns |= c == '=' && bare && is_name(w);
                    w.push(c);
                }
            }
        }
        rest = tail;
    }
    if quoted {
        out.open = Some("a quote is not closed");
    }
    Some((Token::Word { text: word, bare, assigns }, rest))
}

/// Behind a redirection's sign.
fn redirected<'a>(text: &'a str, out: &mut Script) -> &'a str {
    if text.starts_with("<<") {
        out.open = Some("it has a text within the text (`<<`)");
    }
    if text.starts_with("<(") || text.starts_with(">(") {
        out.open = Some("it has commands within a redirection");
    }
    let rest = text.trim_start_matches(['<', '>', '|']);
    // `>&2`, `2>&1`
    match rest.strip_prefix('&') {
        Some(tail) if tail.starts_with(|c: char| c.is_ascii_digit() || c == '-') => tail,
        Some(tail) => tail,
        None => rest,
    }
}

/// The place of the bracket that closes a `$(`.
fn closing(text: &str) -> usize {
    let mut depth = 0u32;
    let mut quote = None;
    for (n, c) in text.char_indices() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('(', None) => depth += 1,
            (')', None) if depth == 0 => return n,
            (')', None) => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<String> {
        let word = |w: &Option<String>| w.clone().unwrap_or("?".into());
        read(text).commands.iter().map(|c| c.iter().map(word).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn plain_texts() {
        for (text, want) in [
            ("exec /usr/bin/app --x", vec!["/usr/bin/app --x"]),
            ("/bin/kill -s HUP $(/bin/cat /run/n.pid)", vec!["/bin/cat /run/n.pid", "/bin/kill -s HUP ?"]),
            ("tail -F /l | grep -v x | logger -t o", vec!["tail -F /l", "grep -v x", "logger -t o"]),
            ("A=1 B=\"x y\" C=$D app 'q r' 2>&1 >/dev/null &", vec!["app q r"]),
            ("test -f /x || mkdir -p /y && echo done", vec!["mkdir -p /y"]),
            ("if [ -x /a ]; then /a; else { /b; }; fi", vec!["/a", "/b"]),
            ("while ! nc -z h 1; do sleep 1; done", vec!["nc -z h 1", "sleep 1"]),
            ("(cd /x && ./run) # comment; /bin/no", vec!["./run"]),
            ("echo `date`", vec!["date"]),
            ("exec -a name /bin/app -a", vec!["/bin/app -a"]),
            ("command -v app; exec -c app", vec!["app", "app"]),
            ("app \"$(a \"b c\")\" \\$x", vec!["a b c", "app ? $x"]),
        ] {
            assert_eq!(shown(text), want, "{text}");
            assert_eq!(read(text).open, None, "{text}");
        }
        let found = read("app < /in >> /out 2>/err");
        assert_eq!((found.reads, found.writes), (vec!["/in".to_owned()], vec!["/out".to_owned(), "/err".to_owned()]));
    }

    #[test]
    fn texts_that_are_more() {
        for text in [
            "$X -v",
            "eval x",
            ". /etc/x",
            "for f in a; do b; done",
            "a 'b",
            "cat <<E\nx\nE",
            "f() { x; }",
            "x > $LOG",
            "x > log",
        ] {
            assert!(read(text).open.is_some(), "{text}");
        }
    }

    #[test]
    fn where_the_text_is() {
        let words = |t: &str| t.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(text_of(&words("-c x")), Some(1));
        assert_eq!(text_of(&words("-e -lc x")), Some(2));
        assert_eq!(text_of(&words("/script -c x")), None);
        assert_eq!(text_of(&words("-c")), None);
        assert_eq!(text_of(&words("-o pipefail -c x")), Some(3));
        assert_eq!(text_of(&words("-euo pipefail -c x")), Some(3));
        assert_eq!(text_of(&words("-ceu x")), Some(1));
        assert_eq!(text_of(&words("-c -e x name")), Some(2));
        assert_eq!(text_of(&words("--login -c x")), Some(2));
        assert_eq!(text_of(&words("--rcfile /x -c x")), Some(3));
        assert_eq!(text_of(&words("-e /script -c x")), None);
        assert!(is_shell("/usr/bin/dash") && !is_shell("/usr/bin/env"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|[\\n'\"\\\\$(){}`;&|<>#*~a ])*") {
            let _ = read(&text);
        }
    }
}
