//! Kernel command lines, read as the kernel reads them (lib/cmdline.c, next_arg(); kernel/params.c, parse_args()).

use crate::bake::manager::of_manager;
use crate::bake::shadow::needed;

/// A parameter, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its first byte.
    pub start: usize,
    /// Without quotes.
    pub text: String,
}

/// isspace() of the kernel, for which a no-break space of Latin-1 is one, too (lib/ctype.c).
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0x0b | 0xa0)
}

/// The words of a command line, `--` and what follows it included. None where a quote is not closed: the kernel would
/// take all up to the end for one word.
pub fn words(line: &str) -> Option<Vec<Word>> {
    let bytes = line.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(skip) = bytes[at..].iter().position(|b| !is_blank(*b)) {
        let start = at + skip;
        let mut quoted = false;
        let len = bytes[start..].iter().position(|b| {
            quoted ^= *b == b'"';
            is_blank(*b) && !quoted
        });
        if quoted {
            return None;
        }
        at = len.map_or(bytes.len(), |len| start + len);
        out.push(Word { start, text: String::from_utf8_lossy(&unquoted(&bytes[start..at])).into_owned() });
    }
    Some(out)
}

/// A word without the quotes that the kernel takes off: those around the whole, or around the value.
fn unquoted(word: &[u8]) -> Vec<u8> {
    let whole = word.first() == Some(&b'"');
    let mut rest = if whole { &word[1..] } else { word };
    let mut value = None;
    let equals = rest.iter().position(|b| *b == b'=').filter(|at| *at > 0);
    if let Some(equals) = equals.filter(|at| rest.get(at + 1) == Some(&b'"')) {
        value = Some(equals);
    }
    if (whole || value.is_some()) && rest.last() == Some(&b'"') {
        rest = &rest[..rest.len() - 1];
    }
    match value {
        // The opening quote may have been the closing one.
        Some(equals) => [&rest[..=equals], rest.get(equals + 2..).unwrap_or_default()].concat(),
        None => rest.to_vec(),
    }
}

/// The parameters that are the kernel's: those before `--`.
fn of_kernel(words: &[Word]) -> impl DoubleEndedIterator<Item = &str> {
    let end = words.iter().position(|w| w.text == "--").unwrap_or(words.len());
    words[..end].iter().map(|w| w.text.as_str())
}

/// Of these, `security=` switches off all that it does not name (LSM_FLAG_LEGACY_MAJOR); an `lsm=` switches it off itself.
const MAJOR: [&str; 4] = ["selinux", "smack", "tomoyo", "apparmor"];

/// The `lsm=` to append to a command line, so that `bpf` is active; `default` is the kernel's own list where that lacks
/// it. The kernel takes the last `lsm=`.
pub fn missing(line: &[Word], default: Option<&[String]>) -> Option<String> {
    let last = |name: &str| of_kernel(line).filter_map(|word| word.strip_prefix(name)).next_back();
    let list: Vec<&str> = match (last("lsm="), default) {
        (Some(given), _) => given.split(',').filter(|m| !m.is_empty()).collect(),
        (None, Some(default)) => {
            let major = last("security=");
            let kept = |m: &&str| major.is_none_or(|major| *m == major || !MAJOR.contains(m));
            let mut list: Vec<&str> = default.iter().map(String::as_str).filter(kept).collect();
            list.extend(major.filter(|m| MAJOR.contains(m) && !list.contains(m)));
            list
        }
        (None, None) => return None,
    };
    if list.contains(&"bpf") {
        return None;
    }
    // What cannot be a module's name the kernel passes over, and a boot loader might not.
    let name = |m: &&str| m.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let list: Vec<&str> = list.into_iter().filter(name).chain(["bpf"]).collect();
    Some(format!("lsm={}", list.join(",")))
}

/// Where a parameter goes in a line: behind the last one, or before `--`, after which they are init's.
pub fn place(line: &str, words: &[Word]) -> usize {
    let end = words.iter().find(|w| w.text == "--").map_or(line.len(), |w| w.start);
    line[..end].trim_end_matches(|c: char| c.is_ascii_whitespace()).len()
}

/// A parameter by which the image would start without its policy: one that takes Kiln's units, or what they need, away or
/// changes them, or that starts something else than systemd.
pub fn disabling(line: &str, words: &[Word]) -> Option<String> {
    let kernel = of_kernel(words).find(|word| match word.split_once('=') {
        Some(("init", program)) => !INITS.contains(&program),
        Some(("rdinit", program)) => program != "/init",
        // What the kernel does not know it puts into init's environment; a name with a dot is a module's.
        Some((key, _)) => !key.contains('.') && of_manager(key),
        _ => false,
    });
    kernel.map(str::to_owned).or_else(|| of_systemd(line).into_iter().find(|word| disables(word)))
}

const INITS: [&str; 6] =
    ["/sbin/init", "/usr/sbin/init", "/bin/init", "/bin/systemd", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"];
/// Parameters of systemd's that mask a unit, and credentials that are units or parts of such (systemd.system-credentials(7)).
const MASK: &str = "systemd.mask";
const CREDENTIALS: [&str; 2] = ["systemd.set_credential", "systemd.set_credential_binary"];

fn disables(word: &str) -> bool {
    let Some((key, value)) = word.split_once('=') else { return false };
    if key == MASK {
        // A name without an ending is a service's.
        return needed(value) || needed(&format!("{value}.service"));
    }
    let unit = |of: &str| value.starts_with("systemd.extra-unit.") || value.starts_with(of);
    CREDENTIALS.contains(&key.replace('-', "_").as_str()) && unit("systemd.unit-dropin.")
}

/// The words that systemd sees: all of the line, what stands behind `--` too, cut by its own rules (proc_cmdline_strv() of
/// src/basic/proc-cmdline.c). A backslash is a character to newer versions and was a quote to older ones: each word is there
/// in both readings.
fn of_systemd(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut done = |word: Option<String>| {
        if let Some(word) = word {
            out.extend(word.contains('\\').then(|| word.replace('\\', "")));
            out.push(word);
        }
    };
    let (mut word, mut quote) = (None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            (' ' | '\t' | '\n' | '\r', None) => done(word.take()),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(q)) if c == q => quote = None,
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    done(word);
    out
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
        assert_eq!(need(r#""lsm=a,bpf""#), None);
        // The kernel takes off only quotes around the whole or around the value.
        assert_eq!(need(r#"lsm=a,"bpf""#).as_deref(), Some("lsm=a,bpf"));
        assert_eq!(need(r#"l"sm=a,bpf""#).as_deref(), Some("lsm=yama,bpf"));
        assert_eq!(need(r#"lsm="""#).as_deref(), Some("lsm=bpf"));
        assert_eq!(need("x\u{a0}lsm=a,bpf"), None);
        assert_eq!(need("quiet\u{b}lsm=a,bpf"), None);
        // An `lsm=` makes `security=` void: what that chose stays chosen.
        let all = ["yama", "selinux", "apparmor"].map(str::to_owned);
        let chosen = |line: &str| missing(&words(line).unwrap(), Some(&all));
        assert_eq!(chosen("security=apparmor").as_deref(), Some("lsm=yama,apparmor,bpf"));
        assert_eq!(chosen("security=tomoyo").as_deref(), Some("lsm=yama,tomoyo,bpf"));
        assert_eq!(chosen("security=none").as_deref(), Some("lsm=yama,bpf"));
        assert_eq!(need(r#"x="y lsm=a,bpf""#).as_deref(), Some("lsm=yama,bpf"));
        // What stands behind `--` is init's.
        assert_eq!(need("quiet -- lsm=a,bpf").as_deref(), Some("lsm=yama,bpf"));
        assert_eq!(words("x=\"y"), None);
        let line = "quiet  -- single";
        assert_eq!(place(line, &words(line).unwrap()), 5);
        let said = |line: &str| disabling(line, &words(line).unwrap());
        for bad in ["systemd.mask=kiln-load.service", "init=/bin/sh", "systemd.mask=kiln-agent", "rdinit=/bin/sh"] {
            assert_eq!(said(&format!("quiet {bad} x")).as_deref(), Some(bad));
        }
        for bad in [
            "quiet -- systemd.mask=kiln-load.service",
            "'systemd.mask=kiln-load.service'",
            "x systemd.mask=\"kiln-load\".service",
            "'a b' systemd.mask=kiln-load",
            "systemd.mask=kiln\\-load",
            "systemd.set_credential=systemd.unit-dropin.kiln-load.service:x",
            "systemd.set-credential_binary=systemd.extra-unit.kiln-load.service:eA==",
            "\"init=/bin/sh\"",
            "SYSTEMD_UNIT_PATH=/opt/units:",
            "\"LD_PRELOAD=/opt/x.so\"",
            "SYSTEMD_PROC_CMDLINE=\"systemd.mask=kiln-load\"",
        ] {
            assert!(said(bad).is_some(), "{bad}");
        }
        for good in [
            "init=/sbin/init",
            "systemd.mask=cron.service",
            "-- init=/bin/sh",
            "rdinit=/init",
            "single",
            "-- SYSTEMD_UNIT_PATH=/opt/units",
            "SYSTEMD_LOG_LEVEL=debug",
            "x=\"a systemd.mask=kiln-load\"",
            "systemd.set_credential=passwd.hashed-password.root:x",
        ] {
            assert_eq!(said(good), None, "{good}");
        }
    }

    /// systemd's own reader of the command line masks where Kiln says that it would.
    #[test]
    fn systemd_masks_the_same_units() {
        let generator = "/usr/lib/systemd/system-generators/systemd-debug-generator";
        if !std::path::Path::new(generator).exists() {
            return;
        }
        for line in [
            "quiet systemd.mask=kiln-load.service",
            "x -- systemd.mask=kiln-load",
            "'systemd.mask=kiln-load.service'",
            "systemd.mask=\"kiln-load\".service",
            "x\\ systemd.mask=kiln-load",
            "x=\"a systemd.mask=kiln-load\"",
            "x='a \" systemd.mask=kiln-load' y\"",
            "systemd_mask=kiln-load",
            "systemd.mask kiln-load",
            "systemd.mask=kiln-load*",
            "rd.systemd.mask=kiln-load",
            "a\u{b}systemd.mask=kiln-load",
            "systemd.mask=kiln-load\tx",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let at = ["n", "e", "l"].map(|n| dir.path().join(n));
            at.iter().for_each(|d| std::fs::create_dir(d).unwrap());
            let mut run = std::process::Command::new(generator);
            run.args(&at).env("SYSTEMD_PROC_CMDLINE", line).env("SYSTEMD_IN_INITRD", "0");
            assert!(run.status().unwrap().success(), "{line}");
            let masked = at[1].join("kiln-load.service").is_symlink();
            assert_eq!(of_systemd(line).iter().any(|w| disables(w)), masked, "{line}");
        }
    }
}
