//! Where a block of Lua ends (`content_by_lua_block { … }`): braces in its strings and comments are text
//! (ngx_http_lua_conf_lua_block_parse() of lua-nginx-module).

/// The length of the block's text up to and with the brace that closes it; `None` if none does.
pub(super) fn block(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 1u32;
    let mut at = 0;
    while let Some(b) = bytes.get(at) {
        match b {
            b'{' => depth = depth.saturating_add(1),
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'"' | b'\'' => {
                at = quoted(bytes, at)?;
                continue;
            }
            b'[' => {
                if let Some(level) = opens(&bytes[at..]) {
                    at = long(bytes, at + level + 2, level)?;
                    continue;
                }
            }
            b'-' if bytes[at..].starts_with(b"--") => {
                at = match opens(&bytes[at + 2..]) {
                    Some(level) => long(bytes, at + level + 4, level)?,
                    None => bytes[at..].iter().position(|b| *b == b'\n')? + at,
                };
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Behind the string that begins at `at`.
fn quoted(bytes: &[u8], at: usize) -> Option<usize> {
    let mut n = at + 1;
    loop {
        match *bytes.get(n)? {
            b'\\' => n += 2,
            b if b == bytes[at] => return Some(n + 1),
            _ => n += 1,
        }
    }
}

/// The level of a long bracket `[==[` that begins here.
fn opens(bytes: &[u8]) -> Option<usize> {
    let level = bytes.strip_prefix(b"[")?.iter().take_while(|b| **b == b'=').count();
    (bytes.get(level + 1) == Some(&b'[')).then_some(level)
}

/// Behind the long bracket of this level whose text begins at `at`.
fn long(bytes: &[u8], at: usize, level: usize) -> Option<usize> {
    let mut n = at;
    loop {
        n += bytes.get(n..)?.iter().position(|b| *b == b']')?;
        let equals = bytes[n + 1..].iter().take_while(|b| **b == b'=').count();
        if equals == level && bytes.get(n + 1 + equals) == Some(&b']') {
            return Some(n + equals + 2);
        }
        n += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn braces_in_text_do_not_count() {
        for text in [
            "}",
            " a = { b = {} } }",
            " say(\"{\") }",
            " say('\\'{') }",
            " t = [[ } ]] }",
            " t = [==[ ]] ]=] } ]==] }",
            " -- it's { a comment\n }",
            " --[[ { \n } ]] }",
            " --[==[ ]] } ]==] }",
            " a = b[c[1]] - -1 }",
        ] {
            assert_eq!(block(&format!("{text} rest }}")), Some(text.len()), "{text}");
        }
        for text in ["", "{ }", " '}", " [[ }", " --[[ } ]]", " -- }"] {
            assert_eq!(block(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|[\\[\\]={}'\"\\\\\\n-])*") {
            let _ = block(&text);
        }
    }
}
