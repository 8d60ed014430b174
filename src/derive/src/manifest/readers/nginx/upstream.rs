//! Where nginx connects to: `proxy_pass` and its kin, `upstream`, `resolver`, `syslog:`.

use kiln_base::model::{PortRange, Proto};

use super::directive::Directive;
use super::listen::{host_and_port, ports};
use crate::manifest::Origin;
use crate::manifest::net::{At, Endpoint, To};

/// Directives that name a peer, with the port that they imply.
const PASSES: [(&str, Option<u16>); 12] = [
    ("proxy_pass", None),
    ("grpc_pass", None),
    ("fastcgi_pass", Some(9000)),
    ("uwsgi_pass", Some(3031)),
    ("scgi_pass", Some(4000)),
    ("memcached_pass", Some(11211)),
    ("redis_pass", Some(6379)),
    ("redis2_pass", Some(6379)),
    // Of the mail proxy, and of TLS.
    ("auth_http", Some(80)),
    ("ssl_ocsp_responder", Some(80)),
    ("ssl_stapling_responder", Some(80)),
    // Of rtmp.
    ("push", Some(1935)),
];

/// Variables that begin with `/` or `?`, or are empty: what stands in front of them is a whole host and port.
const URI: [&str; 4] = ["request_uri", "uri", "document_uri", "is_args"];

/// Whether the directive names a peer.
pub(super) fn is_pass(name: &str) -> bool {
    name == "pull" || PASSES.iter().any(|(n, _)| *n == name)
}

/// What a `…_pass` leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pass {
    /// A peer.
    To(To),
    /// The `upstream` of this name.
    Upstream(String),
}

/// The peer that the text of a `…_pass` names.
pub(super) fn of_pass(name: &str, text: &str, is_upstream: impl Fn(&str) -> bool) -> Option<Pass> {
    let scheme = |name: &str| match name {
        "http" | "grpc" => Some(80),
        "https" | "grpcs" => Some(443),
        "uwsgi" | "suwsgi" => Some(3031),
        "rtmp" => Some(1935),
        _ => None,
    };
    let (default, rest) = match text.split_once("://") {
        Some((name, rest)) => (scheme(name), rest),
        None => (PASSES.iter().find(|(n, _)| *n == name).and_then(|(_, p)| *p), text),
    };
    // `unix:/run/x.sock:/uri`
    if let Some(path) = rest.strip_prefix("unix:") {
        let path = path.split(':').next()?;
        let to = if path.contains('$') { To::Variable(text.to_owned()) } else { To::Unix(path.to_owned()) };
        return Some(Pass::To(to));
    }
    let mut host = rest.split(['/', '?']).next()?;
    if let Some((fixed, tail)) = host.split_once('$') {
        let tail = tail.strip_prefix('{').unwrap_or(tail);
        let end = tail.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(tail.len());
        if !fixed.is_empty() && !fixed.ends_with(':') && URI.contains(&&tail[..end]) {
            host = fixed;
        }
    }
    if host.contains('$') {
        return Some(Pass::To(To::Variable(text.to_owned())));
    }
    if is_upstream(host) {
        return Some(Pass::Upstream(host.to_owned()));
    }
    peer(host, default.unwrap_or(80)).map(Pass::To)
}

/// Where `endpoint` of an `otel_exporter` leads: `host:port`, over gRPC, or with a scheme in front.
pub(super) fn of_endpoint(d: &Directive) -> Option<Endpoint> {
    let text = d.arg()?;
    let (default, rest) = match text.split_once("://") {
        Some(("https", rest)) => (443, rest),
        Some((_, rest)) => (80, rest),
        None => (4317, text),
    };
    let to = match rest.strip_prefix("unix:") {
        Some(path) => To::Unix(path.to_owned()),
        None => peer(rest.split('/').next()?, default)?,
    };
    Some(Endpoint { to, proto: Proto::Tcp, origin: d.origin.clone() })
}

/// The servers of an `upstream`.
pub(super) fn of_upstream(upstream: &Directive, proto: Proto) -> Vec<Endpoint> {
    let servers = upstream.block.iter().filter(|d| d.name == "server");
    servers
        .filter_map(|d| {
            let text = d.arg()?;
            let to = match text.strip_prefix("unix:") {
                Some(path) => To::Unix(path.to_owned()),
                None => peer(text, 80)?,
            };
            Some(Endpoint { to, proto, origin: d.origin.clone() })
        })
        .collect()
}

/// The address of a `proxy_bind` and its kin; `None` for a variable.
pub(super) fn of_bind(text: &str) -> Option<At> {
    let any = PortRange::ANY;
    let (host, ports) = match peer(text, 0)? {
        To::Address(ip, 0) => (ip, any),
        To::Address(ip, port) => (ip, PortRange { first: port, last: port }),
        _ => return None,
    };
    Some(if host.is_unspecified() { At::Any(ports) } else { At::Address(host, ports) })
}

/// The name servers of a `resolver`, each over UDP and TCP.
pub(super) fn of_resolver(directive: &Directive) -> Vec<Endpoint> {
    let servers = directive.args.iter().filter(|a| !a.contains('='));
    servers
        .filter_map(|text| peer(text, 53))
        .flat_map(|to| {
            [Proto::Udp, Proto::Tcp].map(|proto| Endpoint { to: to.clone(), proto, origin: directive.origin.clone() })
        })
        .collect()
}

/// `syslog:server=ADDRESS[,…]` of a log directive.
pub(super) fn of_syslog(text: &str, origin: &Origin) -> Option<Endpoint> {
    let server = text.strip_prefix("syslog:")?.split(',').find_map(|p| p.strip_prefix("server="))?;
    let to = match server.strip_prefix("unix:") {
        Some(path) => To::Unix(path.to_owned()),
        None => peer(server, 514)?,
    };
    Some(Endpoint { to, proto: Proto::Udp, origin: origin.clone() })
}

/// `host`, `host:port`, `[v6]:port`.
fn peer(text: &str, default: u16) -> Option<To> {
    let (host, port) = host_and_port(text)?;
    let port = match port.map(ports) {
        None => default,
        Some(Some(PortRange { first, last })) if first == last => first,
        Some(_) => return None,
    };
    if host.is_empty() {
        return None;
    }
    Some(match host.parse() {
        Ok(ip) => To::Address(ip, port),
        Err(_) if host.contains('$') => To::Variable(text.to_owned()),
        Err(_) if host == "localhost" => To::Loopback(port),
        Err(_) => To::Name(host.to_owned(), port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(name: &str, text: &str) -> Option<To> {
        match of_pass(name, text, |u| u == "app")? {
            Pass::To(to) => Some(to),
            Pass::Upstream(_) => None,
        }
    }

    #[test]
    fn every_form() {
        let ip = |t: &str, p| Some(To::Address(t.parse().unwrap(), p));
        assert_eq!(pass("proxy_pass", "http://10.0.0.1:8080/x"), ip("10.0.0.1", 8080));
        assert_eq!(pass("proxy_pass", "https://10.0.0.1"), ip("10.0.0.1", 443));
        assert_eq!(pass("proxy_pass", "http://[::1]:81/"), ip("::1", 81));
        assert_eq!(pass("proxy_pass", "http://unix:/run/a.sock:/uri"), Some(To::Unix("/run/a.sock".into())));
        assert_eq!(pass("proxy_pass", "http://app/x"), None);
        assert_eq!(pass("proxy_pass", "http://$host/x"), Some(To::Variable("http://$host/x".into())));
        assert_eq!(pass("fastcgi_pass", "unix:/run/php.sock"), Some(To::Unix("/run/php.sock".into())));
        assert_eq!(pass("fastcgi_pass", "localhost:9000"), Some(To::Loopback(9000)));
        assert_eq!(pass("grpc_pass", "grpc://backend:50"), Some(To::Name("backend".into(), 50)));
        assert_eq!(pass("proxy_pass", "http://a:b"), None);
        assert_eq!(pass("proxy_pass", "http://10.0.0.1:81$request_uri"), ip("10.0.0.1", 81));
        assert_eq!(pass("proxy_pass", "https://10.0.0.1${is_args}$args"), ip("10.0.0.1", 443));
        assert_eq!(pass("proxy_pass", "http://app$uri"), None);
        for open in ["http://10.0.0.1:8$1", "http://10.0.0.1:$uri", "http://10.0.0.1$x", "http://unix:/run/$x.sock"] {
            assert_eq!(pass("proxy_pass", open), Some(To::Variable(open.into())), "{open}");
        }
        assert_eq!(pass("auth_http", "127.0.0.1:9000/auth"), ip("127.0.0.1", 9000));
    }

    #[test]
    fn syslog_and_resolver() {
        let origin = Origin::line("/n", 1);
        assert_eq!(of_syslog("syslog:server=unix:/dev/log,tag=x", &origin).unwrap().to, To::Unix("/dev/log".into()));
        assert_eq!(
            of_syslog("syslog:server=10.0.0.9", &origin).unwrap().to,
            To::Address("10.0.0.9".parse().unwrap(), 514)
        );
        let d = Directive {
            name: "resolver".into(),
            args: vec!["10.0.0.2".into(), "valid=3s".into()],
            block: vec![],
            origin,
        };
        assert_eq!(of_resolver(&d).len(), 2);
    }
}
