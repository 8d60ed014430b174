//! `%` specifiers (systemd.unit(5), "Specifiers") of system units.

/// A specifier whose value only the running machine knows, or none at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecifierError {
    /// Such as `%H`, the host name.
    #[error("`%{0}` is known only on the running machine")]
    RunTime(char),
}

/// Expands the specifiers of a setting in the unit `unit` (`name@instance.service`), run by the system manager.
pub fn expand(text: &str, unit: &str) -> Result<String, SpecifierError> {
    let stem = unit.rsplit_once('.').map_or(unit, |(s, _)| s);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    // A template: its instances are many.
    let open = instance.is_empty() && stem.contains('@');
    let last = |name: &str| name.rsplit('-').next().unwrap_or_default().to_owned();
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        // What is not a specifier stays as it is (specifier_printf()).
        let Some(spec) = chars.next() else {
            out.push('%');
            break;
        };
        match spec {
            '%' => out.push('%'),
            'n' | 'N' | 'i' | 'I' | 'f' | 'd' if open => return Err(SpecifierError::RunTime(spec)),
            'n' => out.push_str(unit),
            'N' => out.push_str(stem),
            'p' => out.push_str(prefix),
            'P' => out.push_str(&unescape(prefix)),
            'i' => out.push_str(instance),
            'I' => out.push_str(&unescape(instance)),
            'j' => out.push_str(&last(prefix)),
            'J' => out.push_str(&unescape(&last(prefix))),
            'f' => {
                let path = unescape(if instance.is_empty() { prefix } else { instance });
                out.push('/');
                out.push_str(path.trim_start_matches('/'));
            }
            't' => out.push_str("/run"),
            'S' => out.push_str("/var/lib"),
            'C' => out.push_str("/var/cache"),
            'L' => out.push_str("/var/log"),
            'E' => out.push_str("/etc"),
            'T' => out.push_str("/tmp"),
            'V' => out.push_str("/var/tmp"),
            'd' => {
                out.push_str("/run/credentials/");
                out.push_str(unit);
            }
            // These name the manager's user and its home, not that of User=.
            'u' | 'g' => out.push_str("root"),
            'U' | 'G' => out.push('0'),
            'h' => out.push_str("/root"),
            's' => out.push_str("/bin/sh"),
            'a' | 'A' | 'b' | 'B' | 'D' | 'H' | 'l' | 'm' | 'M' | 'o' | 'q' | 'v' | 'w' | 'W' | 'y' | 'Y' => {
                return Err(SpecifierError::RunTime(spec));
            }
            other => {
                out.push('%');
                out.push(other);
            }
        }
    }
    Ok(out)
}

/// systemd-escape(1) undone: `-` is `/`, `\xNN` a byte.
pub fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
        rest = tail;
        match (first, tail) {
            (b'\\', [b'x', a, b, ..]) if hex(*a).is_some() && hex(*b).is_some() => {
                bytes.push(hex(*a).unwrap_or(0) << 4 | hex(*b).unwrap_or(0));
                rest = &tail[3..];
            }
            (b'-', _) => bytes.push(b'/'),
            (b, _) => bytes.push(*b),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn expands_those_that_the_build_knows() {
        let unit = "getty@dev-tty\\x2d1.service";
        assert_eq!(
            expand("%n|%N|%p|%i|%I|100%%", unit).unwrap(),
            "getty@dev-tty\\x2d1.service|getty@dev-tty\\x2d1|getty|dev-tty\\x2d1|dev/tty-1|100%"
        );
        assert_eq!(expand("%t/%p %S %C %L %E", "a.service").unwrap(), "/run/a /var/lib /var/cache /var/log /etc");
        assert_eq!(expand("%i", "a@.service"), Err(SpecifierError::RunTime('i')));
        assert_eq!(expand("%p", "a@.service").unwrap(), "a");
        assert_eq!(expand("%H", "a.service"), Err(SpecifierError::RunTime('H')));
        assert_eq!(expand("%! x%", "a.service").unwrap(), "%! x%");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", unit in "\\PC{0,20}") {
            let _ = expand(&text, &unit);
            let _ = unescape(&text);
        }
    }
}
