//! Programs that run another program, which their arguments name: `env`, `tini`, `flock`, `nice` and their kin.

use super::shell;
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

const WRAPPERS: [Wrapper; 28] = [
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
    Wrapper {
        names: &["gosu", "su-exec", "setuidgid", "envuidgid", "envdir", "s6-setuidgid", "s6-envuidgid", "s6-envdir"],
        short: "",
        long: &[],
        operands: 1,
    },
    Wrapper { names: &["softlimit", "s6-softlimit"], short: "acdflmnoprst", long: &[], operands: 0 },
    Wrapper { names: &["cgexec"], short: "g", long: &[], operands: 0 },
    Wrapper { names: &["dbus-run-session"], short: "", long: &["--dbus-daemon", "--config-file"], operands: 0 },
    Wrapper { names: &["nsenter"], short: "tSG", long: &["--target", "--setuid", "--setgid"], operands: 0 },
    Wrapper {
        names: &["unshare"],
        short: "SGRw",
        long: &["--setuid", "--setgid", "--root", "--wd", "--map-user", "--map-group", "--propagation"],
        operands: 0,
    },
    Wrapper { names: &["doas"], short: "uC", long: &[], operands: 0 },
    Wrapper { names: &["strace", "ltrace"], short: "abeEIoOpPsSuUX", long: &[], operands: 0 },
    Wrapper { names: &["chpst"], short: "uUbe/nlLdmortfscp", long: &[], operands: 0 },
    Wrapper {
        names: &["sudo"],
        short: "ugcChpTDRrt",
        long: &[
            "--user",
            "--group",
            "--host",
            "--prompt",
            "--chdir",
            "--chroot",
            "--close-from",
            "--command-timeout",
            "--role",
            "--type",
        ],
        operands: 0,
    },
    Wrapper {
        names: &["systemd-cat"],
        short: "tp",
        long: &["--identifier", "--priority", "--level-prefix"],
        operands: 0,
    },
    Wrapper { names: &["systemd-inhibit"], short: "", long: &["--what", "--who", "--why", "--mode"], operands: 0 },
    Wrapper { names: &["prlimit", "setarch", "linux64"], short: "", long: &[], operands: 0 },
    Wrapper { names: &["unbuffer", "catchsegv", "time", "authbind"], short: "fo", long: &[], operands: 0 },
    Wrapper { names: &["start-stop-daemon"], short: "", long: &[], operands: 0 },
];

/// What setarch(8) takes before its program.
const ARCHITECTURES: [&str; 7] = ["x86_64", "amd64", "i386", "i586", "i686", "linux32", "linux64"];

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
    match name {
        "start-stop-daemon" => return daemon(arguments),
        "su" | "runuser" => return user(arguments),
        // `ip netns exec NAME PROGRAM`
        "ip" => {
            let at = arguments
                .windows(2)
                .position(|w| w[0].as_deref() == Some("netns") && w[1].as_deref() == Some("exec"))?;
            let words = arguments.get(at + 3..).filter(|w| !w.is_empty())?.to_vec();
            return Some(Inner { words, ..Inner::default() });
        }
        // Its other applets are no programs of their own.
        "busybox" if matches!(arguments.first()?.as_deref(), Some("sh" | "ash")) => {
            let rest: Vec<String> = arguments[1..].iter().map(|w| w.clone().unwrap_or_default()).collect();
            let text = arguments[1 + shell::text_of(&rest)?].clone();
            let words = if text.is_none() { vec![None] } else { Vec::new() };
            return Some(Inner { words, shell: text, ..Inner::default() });
        }
        _ => {}
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
        } else if let Some((key, value)) = text.split_once('=').filter(|_| matches!(name, "env" | "sudo")) {
            out.environment.push((key.to_owned(), value.to_owned()));
        } else if name == "setarch" && ARCHITECTURES.contains(&text.as_str()) {
            continue;
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

/// `su`, `runuser`: the options stand before the user or behind, and what is left is for the user's shell.
fn user(arguments: &[Option<String>]) -> Option<Inner> {
    let (mut operands, mut text, mut direct) = (Vec::new(), None, false);
    let mut n = 0;
    while let Some(word) = arguments.get(n) {
        n += 1;
        let option = word.as_deref().filter(|t| t.len() > 1 && t.starts_with('-'));
        let Some(option) = option else {
            // `-` alone is `--login`.
            operands.extend((word.as_deref() != Some("-")).then(|| word.clone()));
            if direct {
                break;
            }
            continue;
        };
        if option == "--" {
            break;
        }
        let (name, given) = match option.strip_prefix("--") {
            Some(long) => {
                let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
                let short = match name {
                    "command" | "session-command" => 'c',
                    "user" => 'u',
                    "shell" | "group" | "supp-group" | "whitelist-environment" => 's',
                    _ => continue,
                };
                (short, value.map(str::to_owned))
            }
            None => {
                let Some((at, flag)) = option[1..].char_indices().find(|(_, c)| "cugGsw".contains(*c)) else {
                    continue;
                };
                let rest = &option[1 + at + 1..];
                (flag, (!rest.is_empty()).then(|| rest.to_owned()))
            }
        };
        let value = match given {
            Some(value) => Some(value),
            None => {
                n += 1;
                arguments.get(n - 1).cloned().flatten()
            }
        };
        match name {
            'c' => text = Some(value),
            'u' => direct = true,
            _ => {}
        }
    }
    let rest = arguments.get(n..).unwrap_or_default();
    operands.extend(rest.iter().cloned());
    let of_text = |text: Option<String>| {
        let words = if text.is_none() { vec![None] } else { Vec::new() };
        Inner { words, shell: text, ..Inner::default() }
    };
    if let Some(text) = text {
        return Some(of_text(text));
    }
    let own = if direct { operands } else { operands.get(1..)?.to_vec() };
    match own.first()? {
        Some(word) if !direct && word == "-c" => Some(of_text(own.get(1)?.clone())),
        _ if direct => Some(Inner { words: own, ..Inner::default() }),
        _ => Some(Inner { words: [vec![Some("/bin/sh".to_owned())], own].concat(), ..Inner::default() }),
    }
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
            ("sudo -E -u app A=1 /bin/app -u x", "/bin/app -u x"),
            ("runuser -u app -- /bin/app -c x", "/bin/app -c x"),
            ("runuser --user=app /bin/app -c x", "/bin/app -c x"),
            ("su app /srv/run.sh", "/bin/sh /srv/run.sh"),
            ("ip netns exec blue /bin/app", "/bin/app"),
            ("setarch x86_64 -R /bin/app", "/bin/app"),
            ("unshare --mount --root /jail /bin/app", "/bin/app"),
            ("s6-setuidgid app /bin/app -x", "/bin/app -x"),
            ("softlimit -m 1000 /bin/app", "/bin/app"),
            ("su app -c ?", "?"),
        ] {
            assert_eq!(run(text).as_deref(), Some(want), "{text}");
        }
        for nothing in [
            "su - app",
            "busybox httpd",
            "ip link",
            "cat /x",
            "env",
            "env A=1",
            "start-stop-daemon --stop --exec /bin/app",
            "flock /x",
        ] {
            assert_eq!(run(nothing), None, "{nothing}");
        }
        let words = |t: &[&str]| t.iter().map(|w| Some((*w).to_owned())).collect::<Vec<_>>();
        for (name, line) in [
            ("flock", &["/x", "-c", "a b"][..]),
            ("su", &["-", "app", "-c", "a b"]),
            ("su", &["-s", "/bin/bash", "-lc", "a b", "app"]),
            ("su", &["app", "--", "-c", "a b"]),
            ("runuser", &["--shell=/bin/sh", "--command=a b", "app"]),
            ("busybox", &["ash", "-e", "-c", "a b"]),
        ] {
            assert_eq!(inner(name, &words(line)).unwrap().shell.as_deref(), Some("a b"), "{name} {line:?}");
        }
        let split = inner("env", &words(&["-S", "A=1 python3 -I", "/x"])).unwrap();
        assert_eq!(split.words, words(&["python3", "-I", "/x"]));
        assert_eq!(split.environment, [("A".to_owned(), "1".to_owned())]);
    }

    proptest! {
        #[test]
        fn no_words_panic(name in "(env|flock|nice|start-stop-daemon|numactl|su|runuser|ip|busybox|setarch)", words in proptest::collection::vec("\\PC{0,6}|-[a-z]|--|-c|sh", 0..6)) {
            let _ = inner(&name, &words.into_iter().map(Some).collect::<Vec<_>>());
        }
    }
}
