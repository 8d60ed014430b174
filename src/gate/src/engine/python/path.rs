//! POSIX paths as `pathlib.PurePosixPath` writes them, and `shlex.quote`: the reference's preview is made of both.

/// The part of a path before its components: nothing, `/`, or `//` where exactly two slashes lead.
fn root(path: &[u8]) -> &'static [u8] {
    match path {
        [b'/', b'/', b'/', ..] => b"/",
        [b'/', b'/', ..] => b"//",
        [b'/', ..] => b"/",
        _ => b"",
    }
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// `PurePosixPath(path).name`.
pub fn path_name(path: &[u8]) -> &[u8] {
    parts(path).last().unwrap_or(&[])
}

/// `str(PurePosixPath(directory) / name)`.
pub fn path_join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let absolute = !root(name).is_empty();
    let mut out = if absolute { root(name) } else { root(directory) }.to_vec();
    let base = if absolute { &[][..] } else { directory };
    for (i, part) in parts(base).chain(parts(name)).enumerate() {
        if i > 0 {
            out.push(b'/');
        }
        out.extend_from_slice(part);
    }
    if out.is_empty() {
        out.push(b'.');
    }
    out
}

/// `shlex.quote(word)`, appended.
pub fn shell_quote(word: &[u8], out: &mut Vec<u8>) {
    let safe = |b: &u8| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(b);
    if !word.is_empty() && word.iter().all(safe) {
        out.extend_from_slice(word);
        return;
    }
    out.push(b'\'');
    for b in word {
        match b {
            b'\'' => out.extend_from_slice(b"'\"'\"'"),
            b => out.push(*b),
        }
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_pathlibs() {
        assert_eq!(path_name(b"/a/b/./"), b"b");
        assert_eq!(path_name(b"/"), b"");
        assert_eq!(path_name(b"/a/.."), b"..");
        assert_eq!(path_join(b"/q//d/", b"x/y"), b"/q/d/x/y");
        assert_eq!(path_join(b"//q", b"./x"), b"//q/x");
        assert_eq!(path_join(b"/q", b"//e-1-x"), b"//e-1-x");
        assert_eq!(path_join(b"", b""), b".");
    }

    #[test]
    fn words_are_quoted_as_shlex_does() {
        let quote = |word: &str| {
            let mut out = Vec::new();
            shell_quote(word.as_bytes(), &mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a b'c"), "'a b'\"'\"'c'");
        assert_eq!(quote("/a-b_c.d"), "/a-b_c.d");
        assert_eq!(quote("é"), "'é'");
    }
}
