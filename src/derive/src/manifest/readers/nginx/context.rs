//! How nginx makes paths of words: relative ones, and those with variables.

use kiln_base::model::quote_pattern;

/// What a word of a path directive names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// A path, absolute but not resolved.
    Path(String),
    /// Variables stand in it: the fixed folder in front of the first, and the whole as a PDL glob. A variable matches
    /// within a path component where nginx keeps `/` out of it, any run otherwise.
    Pattern { folder: String, glob: String },
    /// It begins with a variable.
    Unknown,
}

/// Variables that never hold a `/`.
const FLAT: [&str; 8] =
    ["host", "http_host", "server_name", "server_port", "scheme", "remote_user", "remote_addr", "ssl_server_name"];

/// Reads a word. Relative ones start at `base`.
pub(super) fn named(text: &str, base: &str) -> Named {
    let full = if text.starts_with('/') { text.to_owned() } else { format!("{base}/{text}") };
    let Some(at) = full.find('$') else { return Named::Path(full) };
    if text.starts_with('$') {
        return Named::Unknown;
    }
    let folder = full[..at].rsplit_once('/').map_or("", |(d, _)| d).to_owned();
    let mut glob = String::new();
    let mut rest = full.as_str();
    while let Some(at) = rest.find('$') {
        glob.push_str(&quote_pattern(&rest[..at]));
        let tail = &rest[at + 1..];
        let (name, after) = match tail.strip_prefix('{').and_then(|t| t.split_once('}')) {
            Some(parts) => parts,
            None => tail.split_at(tail.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(tail.len())),
        };
        glob.push_str(if FLAT.contains(&name) { "*" } else { "**" });
        rest = after;
    }
    glob.push_str(&quote_pattern(rest));
    Named::Pattern { folder, glob }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_and_variable() {
        assert_eq!(named("html", "/usr/share/nginx"), Named::Path("/usr/share/nginx/html".into()));
        assert_eq!(
            named("/srv/${host}/x[1]/$uri.html", "/p"),
            Named::Pattern { folder: "/srv".into(), glob: "/srv/*/x\\[1\\]/**.html".into() }
        );
        assert_eq!(
            named("logs/a-$host.log", "/p"),
            Named::Pattern { folder: "/p/logs".into(), glob: "/p/logs/a-*.log".into() }
        );
        assert_eq!(named("$document_root/x", "/p"), Named::Unknown);
    }
}
