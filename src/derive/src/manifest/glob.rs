//! glob(3) within an image.

use std::collections::BTreeSet;

use super::root::{Kind, Root, RootError};

/// What a pattern means.
#[derive(Debug, Default)]
pub struct Globbed {
    /// The paths, sorted.
    pub paths: Vec<String>,
    /// The folders that were listed, links resolved.
    pub folders: Vec<String>,
    /// Names that were passed over, and why.
    pub notes: Vec<String>,
    /// There are more paths than the limit.
    pub more: bool,
}

/// The paths that match: sorted, hidden ones only for a pattern with a dot, no error for no match. A folder does not count
/// as the last part.
pub fn glob(root: &Root, pattern: &str, limit: usize) -> Result<Globbed, RootError> {
    let mut out = Globbed::default();
    let mut found: BTreeSet<String> = BTreeSet::from([String::new()]);
    let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty()).collect();
    for (n, part) in parts.iter().enumerate() {
        let mut next = BTreeSet::new();
        for folder in &found {
            if !is_pattern(part) {
                let path = format!("{folder}/{part}");
                if root.exists(&path) {
                    next.insert(path);
                }
                continue;
            }
            let listed = root.resolve(if folder.is_empty() { "/" } else { folder })?;
            if listed.kind != Some(Kind::Directory) {
                continue;
            }
            let (entries, nameless) = root.entries_and_nameless(&listed.path)?;
            if nameless > 0 {
                let text = format!("{nameless} names in `{}` are not UTF-8 and are passed over", listed.path);
                out.notes.push(text);
            }
            out.folders.push(listed.path);
            for (name, kind) in entries {
                let last = n + 1 == parts.len();
                let hidden = name.starts_with('.') && !part.starts_with('.');
                if hidden || (kind == Kind::Directory && last) || !fnmatch(part.as_bytes(), name.as_bytes()) {
                    continue;
                }
                let path = format!("{folder}/{name}");
                if !root.exists(&path) {
                    out.notes.push(format!("`{path}` leads nowhere in the image"));
                    continue;
                }
                next.insert(path);
                if next.len() > limit {
                    out.more = true;
                    return Ok(out);
                }
            }
        }
        found = next;
    }
    out.paths = found.into_iter().collect();
    Ok(out)
}

impl Root {
    /// The files that a pattern of glob(3) means, at most 4096.
    pub fn glob(&self, pattern: &str) -> Result<Vec<String>, RootError> {
        glob(self, pattern, 4096).map(|g| g.paths)
    }
}

/// Whether the text has wildcards.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// fnmatch(3) for one path component: `*`, `?`, `[a-z]`, `[!a-z]`. Linear in each star, without recursion.
pub fn fnmatch(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'\\') if pattern.get(p + 1) == Some(&name[n]) => Some(2),
            Some(b'[') => bracket(&pattern[p..], name[n]).and_then(|(len, hit)| hit.then_some(len)),
            Some(c) if *c == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(len), _) => {
                p += len;
                n += 1;
            }
            (None, Some((after, from))) => {
                star = Some((after, from + 1));
                p = after;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// The length of a bracket expression and whether it holds the byte; `None` if it is not closed.
fn bracket(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    let end = pattern.iter().skip(first + 1).position(|c| *c == b']')? + first + 1;
    let set = &pattern[first..end];
    let mut hit = false;
    let mut i = 0;
    while i < set.len() {
        if i + 2 < set.len() && set[i + 1] == b'-' {
            hit |= set[i] <= byte && byte <= set[i + 2];
            i += 3;
        } else {
            hit |= set[i] == byte;
            i += 1;
        }
    }
    Some((end + 1, hit != negated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fnmatch_as_glob3() {
        for (pattern, name, yes) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("[!a]*", "b", true),
            ("[a-c]?", "bx", true),
            ("[a-c]?", "dx", false),
            ("*a*b*", "xxaxxbxx", true),
            ("[", "[", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
        ] {
            assert_eq!(fnmatch(pattern.as_bytes(), name.as_bytes()), yes, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[*?\\[\\]!\\\\a-c-]*", name in "[a-c]*") {
            let _ = fnmatch(pattern.as_bytes(), name.as_bytes());
        }
    }
}
