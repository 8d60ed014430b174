//! Programs that run another program, which their arguments name: `env`, `tini`, `flock`, `nice` and their kin.

use super::systemd::words::{Escapes, words};

/// How a wrapper's arguments are cut.
struct Wrapper {
    names: &'static [&'static str],
    /// Short options that take a value.
    short: &'static str,
    /// Long options that take a value in a word of its own.
    long: &'static [&'static str],
    /// Words between the options and the program.
    operands: usize,
}

const WRAPPERS: [Wrapper; 21] = [
    Wrapper { names: &["env"], short: "uCS", long: &["--unset", "--chdir", "--split-string"], operands: 0 },
    Wrapper { names: &["tini", "tini-static", "docker-init"], short: "pre", long: &[], operands: 0 },
    Wrapper { names: &["dumb-init"], short: "r", long: &["--rewrite"], operands: 0 },
    Wrapper { names: &["catatonit"], short: "", long: &[], operands: 0 },
    Wrapper { names: &["flock"], short: "wE", long: &["--timeout", "--wait", "--conflict-exit-code"], operands: 1 },
    Wrapper { names: &["nice"], short: "n", long: &["--adjustment"], operands: 0 },
    Wrapper { names: &["ionice"], short: "cnpPu", long: &["--class", "--classdata"], operands: 0 },
    Wrapper {
        names: &["nohup", "setsid", "stdbuf"],
        short: "ioe",
        long: &["--input", "--output", "--error"],
        operands: 0,
    },
    Wrapper { names: &["timeout"], short: "ks", long: &["--kill-after", "--signal"], operands: 1 },
    Wrapper {
        names: &["chrt"],
        short: "TPD",
        long: &["--sched-runtime", "--sched-period", "--sched-deadline"],
        operands: 1,
    },
    Wrapper { names: &["taskset"], short: "", long: &[], operands: 1 },
    Wrapper {
        names: &["numactl"],
        short: "iwpmNCPl",
        long: &["--interleave", "--membind", "--cpunodebind", "--physcpubind", "--preferred"],
        operands: 0,
    },
    Wrapper {
        names: &["setpriv"],
        short: "",
        long: &[
            "--reuid",
            "--regid",
            "--ruid",
            "--euid",
            "--rgid",
            "--egid",
            "--groups",
            "--inh-caps",
            "--ambient-caps",
            "--bounding-set",
            "--securebits",
            "--pdeathsig",
            "--selinux-label",
            "--apparmor-profile",
        ],
        operands: 0,
    },
    Wrapper { names: &["gosu", "su-exec"], short: "", long: &[], operands: 1 },
    Wrapper { names: &["chpst"], short: "uUbe/nlLdmortfscp", long: &[], operands: 0 },
    Wrapper { names: &["runuser", "sudo"], short: "ugGscwChpTDR", long: &["--user", "--group"], operands: 0 },
    Wrapper {
        names: &["systemd-cat"],
        short: "tp",
        long: &["--identifier", "--priority", "--level-prefix"],
        operands: 0,
    },
    Wrapper { names: &["systemd-inhibit"], short: "", long: &["--what", "--who", "--why", "--mode"], operands: 0 },
    Wrapper { names: &["prlimit", "unshare", "setarch", "linux64"], short: "", long: &[], operands: 0 },
    Wrapper { names: &["unbuffer", "catchsegv", "time", "authbind"], short: "fo", long: &[], operands: 0 },
    Wrapper { names: &["start-stop-daemon"], short: "", long: &[], operands: 0 },
];

/// A wrapped command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inner {
    /// The program and its arguments, each `None` where it is not known.
    pub words: Vec<Option<String>>,
    /// `NAME=VALUE` that `env` sets.
    pub environment: Vec<(String, String)>,
    /// A text for the shell (`flock FILE -c TEXT`).
    pub shell: Option<String>,
}

/// What the program `name` runs with these arguments; `None` if it is not a wrapper, or runs nothing.
pub fn inner(name: &str, arguments: &[Option<String>]) -> Option<Inner> {
    if name == "start-stop-daemon" {
        return daemon(arguments);
    }
    let wrapper = WRAPPERS.iter().find(|w| w.names.contains(&name))?;
    let mut out = Inner::default();
    let mut operands = wrapper.operands;
    let mut n = 0;
    let mut options = true;
    while let Some(word) = arguments.get(n) {
        n += 1;
        let Some(text) = word else {
            if operands > 0 {
                operands -= 1;
                continue;
            }
            out.words = arguments[n - 1..].to_vec();
            return Some(out);
        };
        if options && text == "--" {
            options = false;
        } else if options && text.starts_with("--") {
            if let Some(split) = text.strip_prefix("--split-string=") {
                return split_string(split, &arguments[n..], out);
            }
            if wrapper.long.contains(&text.as_str()) {
                n += 1;
            }
        } else if options && text.len() > 1 && text.starts_with('-') {
            let cluster = &text[1..];
            if let Some((at, flag)) = cluster.char_indices().find(|(_, c)| wrapper.short.contains(*c)) {
                let rest = &cluster[at + 1..];
                let value = if rest.is_empty() { arguments.get(n).cloned().flatten() } else { Some(rest.to_owned()) };
                if rest.is_empty() {
                    n += 1;
                }
                if name == "env" && flag == 'S' {
                    return split_string(&value?, &arguments[n..], out);
                }
            }
        } else if operands > 0 {
            operands -= 1;
            // `flock FILE -c TEXT`
            if name == "flock" && arguments.get(n).is_some_and(|w| matches!(w.as_deref(), Some("-c" | "--command"))) {
                out.shell = Some(arguments.get(n + 1).cloned().flatten()?);
                return Some(out);
            }
            options = name != "flock";
        } else if let Some((key, value)) = text.split_once('=').filter(|_| name == "env") {
            out.environment.push((key.to_owned(), value.to_owned()));
        } else {
            // gosu's and chpst's options end at the program; so do those of all others.
            out.words = arguments[n - 1..].to_vec();
            return Some(out);
        }
    }
    None
}

/// `env -S 'A=1 program --x'`.
fn split_string(text: &str, rest: &[Option<String>], mut out: Inner) -> Option<Inner> {
    let mut all: Vec<Option<String>> =
        words(text, Escapes::C).ok()?.into_iter().map(|w| (!w.text.contains('$')).then_some(w.text)).collect();
    all.extend(rest.iter().cloned());
    let nested = inner("env", &all)?;
    out.environment.extend(nested.environment);
    out.words = nested.words;
    Some(out)
}

/// `start-stop-daemon --start --exec PROGRAM -- ARGUMENTS`; stopping runs nothing.
fn daemon(arguments: &[Option<String>]) -> Option<Inner> {
    let is =
        |n: usize, names: &[&str]| arguments.get(n).is_some_and(|w| w.as_deref().is_some_and(|t| names.contains(&t)));
    let end = (0..arguments.len()).find(|n| is(*n, &["--"])).unwrap_or(arguments.len());
    if !(0..end).any(|n| is(n, &["--start", "-S"])) {
        return None;
    }
    let value = |long: &str, short: &str| {
        (0..end).find_map(|n| {
            let text = arguments[n].as_deref()?;
            if let Some(value) = text.strip_prefix(long).and_then(|r| r.strip_prefix('=')) {
                return Some(Some(value.to_owned()));
            }
            (text == long || text == short).then(|| arguments.get(n + 1).cloned().flatten())
        })
    };
    let program = value("--startas", "-a").or_else(|| value("--exec", "-x"))?;
    let mut words = vec![program];
    words.extend(arguments.get(end + 1..).unwrap_or_default().iter().cloned());
    Some(Inner { words, ..Inner::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(text: &str) -> Option<String> {
        let mut words = text.split(' ').map(|w| (w != "?").then(|| w.to_owned()));
        let name = words.next().flatten().unwrap();
        let found = inner(&name, &words.collect::<Vec<_>>())?;
        let words: Vec<String> = found.words.into_iter().map(|w| w.unwrap_or("?".into())).collect();
        Some(words.join(" "))
    }

    #[test]
    fn the_program_behind_the_options() {
        for (text, want) in [
            ("env NODE_ENV=production node /srv/x.js", "node /srv/x.js"),
            ("env -i -u HOME A=1 -- node -v", "node -v"),
            ("env ? node", "? node"),
            ("tini -g -p SIGTERM -- /bin/app -x", "/bin/app -x"),
            ("flock -n /run/lock /bin/app -c x", "/bin/app -c x"),
            ("nice -n 10 /bin/app", "/bin/app"),
            ("nice -n10 /bin/app", "/bin/app"),
            ("nice --adjustment=3 /bin/app", "/bin/app"),
            ("timeout -k 5 30 /bin/app", "/bin/app"),
            ("setpriv --reuid app --init-groups /bin/app", "/bin/app"),
            ("gosu app:app /bin/app -u x", "/bin/app -u x"),
            ("start-stop-daemon --start --quiet --exec /bin/app -- -c /etc/x", "/bin/app -c /etc/x"),
            ("start-stop-daemon -S -x /bin/app", "/bin/app"),
        ] {
            assert_eq!(run(text).as_deref(), Some(want), "{text}");
        }
        for nothing in ["cat /x", "env", "env A=1", "start-stop-daemon --stop --exec /bin/app", "flock /x"] {
            assert_eq!(run(nothing), None, "{nothing}");
        }
        let words = |t: &[&str]| t.iter().map(|w| Some((*w).to_owned())).collect::<Vec<_>>();
        assert_eq!(inner("flock", &words(&["/x", "-c", "a b"])).unwrap().shell.unwrap(), "a b");
        let split = inner("env", &words(&["-S", "A=1 python3 -I", "/x"])).unwrap();
        assert_eq!(split.words, words(&["python3", "-I", "/x"]));
        assert_eq!(split.environment, [("A".to_owned(), "1".to_owned())]);
    }

    proptest! {
        #[test]
        fn no_words_panic(name in "(env|flock|nice|start-stop-daemon|numactl)", words in proptest::collection::vec("\\PC{0,6}", 0..6)) {
            let _ = inner(&name, &words.into_iter().map(Some).collect::<Vec<_>>());
        }
    }
}
