//! What nginx was built with: the `configure arguments` that `nginx -V` prints stand in its binary.

use crate::manifest::Origin;

/// Compiled-in paths. Those that the binary does not state are Debian's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// `--prefix`: relative paths that are not of the configuration start here.
    pub prefix: String,
    /// `--conf-path`.
    pub conf: String,
    /// `--pid-path`.
    pub pid: String,
    /// `--lock-path`.
    pub lock: String,
    /// `--error-log-path`; `stderr` for none.
    pub error_log: String,
    /// `--http-log-path`.
    pub access_log: String,
    /// Temporary folders by the directive that replaces them.
    pub temp: Vec<(&'static str, String)>,
    /// `--user`, `nobody` where absent.
    pub user: String,
    /// Where all this stands.
    pub origin: Origin,
}

/// Debian's (debian/rules of its nginx package).
const DEFAULTS: [(&str, &str); 12] = [
    ("--prefix=", "/usr/share/nginx"),
    ("--conf-path=", "/etc/nginx/nginx.conf"),
    ("--pid-path=", "/run/nginx.pid"),
    ("--lock-path=", "/var/lock/nginx.lock"),
    ("--error-log-path=", "/var/log/nginx/error.log"),
    ("--http-log-path=", "/var/log/nginx/access.log"),
    ("--user=", "nobody"),
    ("--http-client-body-temp-path=", "/var/lib/nginx/body"),
    ("--http-proxy-temp-path=", "/var/lib/nginx/proxy"),
    ("--http-fastcgi-temp-path=", "/var/lib/nginx/fastcgi"),
    ("--http-uwsgi-temp-path=", "/var/lib/nginx/uwsgi"),
    ("--http-scgi-temp-path=", "/var/lib/nginx/scgi"),
];

const TEMP: [(&str, &str); 5] = [
    ("client_body_temp_path", "--http-client-body-temp-path="),
    ("proxy_temp_path", "--http-proxy-temp-path="),
    ("fastcgi_temp_path", "--http-fastcgi-temp-path="),
    ("uwsgi_temp_path", "--http-uwsgi-temp-path="),
    ("scgi_temp_path", "--http-scgi-temp-path="),
];

impl Compiled {
    /// Reads the arguments out of the binary's bytes.
    pub fn of(path: &str, binary: &[u8]) -> Compiled {
        let text = arguments(binary);
        let get = |key: &str| {
            text.as_deref().and_then(|t| value(t, key)).or_else(|| {
                let found = DEFAULTS.iter().find(|(k, _)| *k == key);
                found.map(|(_, v)| (*v).to_owned())
            })
        };
        let or_empty = |key: &str| get(key).unwrap_or_default();
        Compiled {
            prefix: or_empty("--prefix="),
            conf: or_empty("--conf-path="),
            pid: or_empty("--pid-path="),
            lock: or_empty("--lock-path="),
            error_log: or_empty("--error-log-path="),
            access_log: or_empty("--http-log-path="),
            temp: TEMP.iter().map(|(directive, key)| (*directive, or_empty(key))).collect(),
            user: or_empty("--user="),
            origin: match text {
                Some(_) => Origin::elf(path, "configure arguments"),
                None => Origin::known("nginx", "Debian's configure arguments"),
            },
        }
    }
}

/// The one C string of the binary that holds the arguments.
fn arguments(binary: &[u8]) -> Option<String> {
    let key = b"--conf-path=";
    let at = binary.windows(key.len()).position(|w| w == key)?;
    let start = binary[..at].iter().rposition(|b| *b == 0).map_or(0, |n| n + 1);
    let len = binary[at..].iter().position(|b| *b == 0)?;
    String::from_utf8(binary[start..at + len].to_vec()).ok()
}

fn value(text: &str, key: &str) -> Option<String> {
    let at = text.match_indices(key).find(|(i, _)| *i == 0 || text.as_bytes()[i - 1].is_ascii_whitespace())?.0;
    let rest = &text[at + key.len()..];
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_win_over_debians() {
        let binary = b"\x7fELF..\0nginx version\0 --with-cc-opt='-g -O2' --prefix=/opt/n --conf-path=/opt/n/c.conf --error-log-path=stderr\0x";
        let compiled = Compiled::of("/opt/n/nginx", binary);
        assert_eq!(compiled.prefix, "/opt/n");
        assert_eq!(compiled.conf, "/opt/n/c.conf");
        assert_eq!(compiled.error_log, "stderr");
        assert_eq!(compiled.pid, "/run/nginx.pid");
        assert_eq!(compiled.origin.to_string(), "elf /opt/n/nginx: configure arguments");
        assert_eq!(Compiled::of("/x", b"--conf-path=/x").conf, "/etc/nginx/nginx.conf");
    }
}
