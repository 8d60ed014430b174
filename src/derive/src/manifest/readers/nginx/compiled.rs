//! What nginx was built with: the `configure arguments` that `nginx -V` prints stand in its binary.

use crate::manifest::Origin;

/// Compiled-in paths. Where the binary states its arguments, those that it leaves out are nginx's own; where it states
/// none, Debian's. Relative ones start at the prefix.
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
    /// Whether the binary states its arguments.
    pub stated: bool,
}

/// By option: nginx's own (auto/options), Debian's (debian/rules of its nginx package).
const DEFAULTS: [(&str, &str, &str); 12] = [
    ("--prefix=", "/usr/local/nginx", "/usr/share/nginx"),
    ("--conf-path=", "conf/nginx.conf", "/etc/nginx/nginx.conf"),
    ("--pid-path=", "logs/nginx.pid", "/run/nginx.pid"),
    ("--lock-path=", "logs/nginx.lock", "/var/lock/nginx.lock"),
    ("--error-log-path=", "logs/error.log", "/var/log/nginx/error.log"),
    ("--http-log-path=", "logs/access.log", "/var/log/nginx/access.log"),
    ("--user=", "nobody", "nobody"),
    ("--http-client-body-temp-path=", "client_body_temp", "/var/lib/nginx/body"),
    ("--http-proxy-temp-path=", "proxy_temp", "/var/lib/nginx/proxy"),
    ("--http-fastcgi-temp-path=", "fastcgi_temp", "/var/lib/nginx/fastcgi"),
    ("--http-uwsgi-temp-path=", "uwsgi_temp", "/var/lib/nginx/uwsgi"),
    ("--http-scgi-temp-path=", "scgi_temp", "/var/lib/nginx/scgi"),
];

const TEMP: [(&str, &str); 5] = [
    ("client_body_temp_path", "--http-client-body-temp-path="),
    ("proxy_temp_path", "--http-proxy-temp-path="),
    ("fastcgi_temp_path", "--http-fastcgi-temp-path="),
    ("uwsgi_temp_path", "--http-uwsgi-temp-path="),
    ("scgi_temp_path", "--http-scgi-temp-path="),
];

/// What nginx prints before the arguments (ngx_show_version_info()).
const HEAD: &[u8] = b"configure arguments:";

/// Whether the binary is an nginx, or a program built from its sources.
pub fn is_nginx(binary: &[u8]) -> bool {
    find(binary, HEAD).is_some() && find(binary, b"ngx_").is_some()
}

impl Compiled {
    /// Reads the arguments out of the binary's bytes.
    pub fn of(path: &str, binary: &[u8]) -> Compiled {
        let text = arguments(binary);
        let get = |key: &str| {
            text.as_deref().and_then(|t| value(t, key)).unwrap_or_else(|| {
                let found = DEFAULTS.iter().find(|(k, ..)| *k == key);
                found.map_or("", |(_, own, debian)| if text.is_some() { own } else { debian }).to_owned()
            })
        };
        Compiled {
            prefix: match get("--prefix=").trim_end_matches('/') {
                // `--prefix=!`: none (auto/options).
                "!" => String::new(),
                prefix => prefix.to_owned(),
            },
            conf: get("--conf-path="),
            pid: get("--pid-path="),
            lock: get("--lock-path="),
            error_log: get("--error-log-path="),
            access_log: get("--http-log-path="),
            temp: TEMP.iter().map(|(directive, key)| (*directive, get(key))).collect(),
            user: get("--user="),
            stated: text.is_some(),
            origin: match text {
                Some(_) => Origin::elf(path, "configure arguments"),
                None => Origin::known("nginx", "Debian's configure arguments"),
            },
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// The part of the binary that holds the arguments: what stands behind the words that nginx prints before them, or a C
/// string that has one of the options.
fn arguments(binary: &[u8]) -> Option<String> {
    let start = match find(binary, HEAD) {
        Some(at) => at + HEAD.len(),
        None => {
            let at = ["--conf-path=", "--prefix="].iter().find_map(|key| find(binary, key.as_bytes()))?;
            binary[..at].iter().rposition(|b| *b == 0).map_or(0, |n| n + 1)
        }
    };
    let len = binary[start..].iter().position(|b| matches!(b, 0 | b'\n'))?;
    String::from_utf8(binary[start..start + len].to_vec()).ok()
}

/// The value of an option, which stands in quotes where it has blanks.
fn value(text: &str, key: &str) -> Option<String> {
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.trim_start();
        let mut quote = None;
        let end = rest.char_indices().find(|(_, c)| match quote {
            Some(q) => {
                if *c == q {
                    quote = None;
                }
                false
            }
            None if matches!(c, '\'' | '"') => {
                quote = Some(*c);
                false
            }
            None => c.is_whitespace(),
        });
        let (word, tail) = rest.split_at(end.map_or(rest.len(), |(i, _)| i));
        if let Some(value) = word.strip_prefix(key) {
            return Some(value.trim_matches(['\'', '"']).to_owned());
        }
        rest = tail;
    }
    None
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
        assert_eq!(compiled.pid, "logs/nginx.pid");
        assert_eq!(compiled.origin.to_string(), "elf /opt/n/nginx: configure arguments");
        assert_eq!(Compiled::of("/x", b"--conf-path=/x").conf, "/etc/nginx/nginx.conf");
    }
    #[test]
    fn a_binary_with_a_prefix_only() {
        let binary = b"ngx_x\0nginx version: openresty\0configure arguments: --with-cc-opt='-O2 --pid-path=/not' --prefix='/opt/my n' --with-x\n\0";
        let compiled = Compiled::of("/n", binary);
        assert!(compiled.stated && is_nginx(binary));
        assert_eq!((compiled.prefix.as_str(), compiled.conf.as_str()), ("/opt/my n", "conf/nginx.conf"));
        assert_eq!(compiled.temp[0].1, "client_body_temp");
        let bare = Compiled::of("/n", b"configure arguments:\n\0");
        assert_eq!((bare.prefix.as_str(), bare.pid.as_str()), ("/usr/local/nginx", "logs/nginx.pid"));
        assert!(!Compiled::of("/x", b"no").stated);
    }
}
