//! Kernel command lines, read as the kernel reads them (lib/cmdline.c, next_arg(); kernel/params.c, parse_args()).

/// A parameter, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its first byte.
    pub start: usize,
    /// Without quotes.
    pub text: String,
}

/// The words of a command line, `--` and what follows it included. None where a quote is not closed: the kernel would
/// take all up to the end for one word.
pub fn words(line: &str) -> Option<Vec<Word>> {
    let (mut out, mut quoted, mut word) = (Vec::new(), false, None::<Word>);
    for (at, c) in line.char_indices() {
        if c.is_ascii_whitespace() && !quoted {
            out.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_with(|| Word { start: at, text: String::new() });
        match c {
            '"' => quoted = !quoted,
            c => word.text.push(c),
        }
    }
    out.extend(word);
    (!quoted).then_some(out)
}

/// The parameters that are the kernel's: those before `--`.
fn of_kernel(words: &[Word]) -> impl DoubleEndedIterator<Item = &str> {
    let end = words.iter().position(|w| w.text == "--").unwrap_or(words.len());
    words[..end].iter().map(|w| w.text.as_str())
}

/// The `lsm=` to append to a command line, so that `bpf` is active; `default` is the kernel's own list where that lacks
/// it. The kernel takes the last `lsm=`.
pub fn missing(line: &[Word], default: Option<&[String]>) -> Option<String> {
    let given = of_kernel(line).rev().find_map(|word| word.strip_prefix("lsm="));
    let list: Vec<&str> = match (given, default) {
        (Some(given), _) => given.split(',').filter(|m| !m.is_empty()).collect(),
        (None, Some(default)) => default.iter().map(String::as_str).collect(),
        (None, None) => return None,
    };
    if list.contains(&"bpf") {
        return None;
    }
    Some(format!("lsm={}", [list, vec!["bpf"]].concat().join(",")))
}

/// Where a parameter goes in a line: behind the last one, or before `--`, after which they are init's.
pub fn place(line: &str, words: &[Word]) -> usize {
    let end = words.iter().find(|w| w.text == "--").map_or(line.len(), |w| w.start);
    line[..end].trim_end().len()
}

/// A parameter by which the image would start without its policy.
pub fn disabling(line: &[Word]) -> Option<&str> {
    let masks = |unit: &str| {
        let stem = unit.strip_suffix(".service").unwrap_or(unit);
        matches!(stem, "kiln-load" | "kiln-agent" | "sysinit.target" | "multi-user.target" | "sys-fs-bpf.mount")
    };
    let inits = ["/sbin/init", "/usr/sbin/init", "/bin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"];
    of_kernel(line).find(|word| match word.split_once('=') {
        Some(("systemd.mask", unit)) => masks(unit),
        Some(("init", program)) => !inits.contains(&program) && program != "/bin/systemd",
        Some(("rdinit", program)) => program != "/init",
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_the_kernels() {
        let need = |line: &str| missing(&words(line).unwrap(), Some(&["yama".to_owned()]));
        assert_eq!(need("quiet").as_deref(), Some("lsm=yama,bpf"));
        assert_eq!(need("quiet lsm=a,bpf"), None);
        assert_eq!(need("lsm=a,bpf lsm=a").as_deref(), Some("lsm=a,bpf"));
        assert_eq!(need(r#"lsm="a,bpf" x="lsm=b c""#), None);
        assert_eq!(need(r#"x="y lsm=a,bpf""#).as_deref(), Some("lsm=yama,bpf"));
        // What stands behind `--` is init's.
        assert_eq!(need("quiet -- lsm=a,bpf").as_deref(), Some("lsm=yama,bpf"));
        assert_eq!(words("x=\"y"), None);
        let line = "quiet  -- single";
        assert_eq!(place(line, &words(line).unwrap()), 5);
        for bad in ["systemd.mask=kiln-load.service", "init=/bin/sh", "systemd.mask=kiln-agent", "rdinit=/bin/sh"] {
            assert_eq!(disabling(&words(&format!("quiet {bad} x")).unwrap()), Some(bad));
        }
        for good in ["init=/sbin/init", "systemd.mask=cron.service", "-- init=/bin/sh", "rdinit=/init", "single"] {
            assert_eq!(disabling(&words(good).unwrap()), None, "{good}");
        }
    }
}
