//! nginx's command line (ngx_get_options() of its src/core/nginx.c).

/// What the command line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// `-c`: the word's place and text.
    pub conf: Option<(usize, String)>,
    /// `-p`.
    pub prefix: Option<(usize, String)>,
    /// `-e`.
    pub error_log: Option<(usize, String)>,
    /// Each `-g`; nginx keeps the last.
    pub globals: Option<(usize, String)>,
}

/// Reads the words behind the program. Flags may be joined (`-qc FILE`, `-tcFILE`); what nginx refuses ends the reading.
pub(super) fn read(words: &[String]) -> Options {
    let mut out = Options::default();
    let mut n = 0;
    while let Some(word) = words.get(n) {
        let Some(flags) = word.strip_prefix('-') else { return out };
        for (at, flag) in flags.char_indices() {
            let slot = match flag {
                'c' => Some(&mut out.conf),
                'p' => Some(&mut out.prefix),
                'e' => Some(&mut out.error_log),
                'g' => Some(&mut out.globals),
                's' => None,
                _ => continue,
            };
            let rest = &flags[at + flag.len_utf8()..];
            if rest.is_empty() {
                n += 1;
            }
            let operand = if rest.is_empty() { words.get(n).cloned() } else { Some(rest.to_owned()) };
            if let (Some(slot), Some(operand)) = (slot, operand) {
                *slot = Some((n, operand));
            }
            break;
        }
        n += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_and_apart() {
        let words = |t: &str| t.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let conf = |t: &str| read(&words(t)).conf.map(|(_, c)| c);
        assert_eq!(conf("-t -q -c /a"), Some("/a".into()));
        assert_eq!(conf("-qc /a"), Some("/a".into()));
        assert_eq!(conf("-tqc/a"), Some("/a".into()));
        assert_eq!(conf("-s -c -c /b"), Some("/b".into()));
        assert_eq!(conf("x -c /b"), None);
        assert_eq!(conf("-c"), None);
        assert_eq!(read(&words("-p /p -g user;x")).globals, Some((3, "user;x".into())));
    }
}
