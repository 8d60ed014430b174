//! `listen`.

use std::net::IpAddr;

use kiln_base::model::{PortRange, Proto};

use super::directive::Directive;
use crate::manifest::net::{At, Listen};

/// Reads one `listen` of an http, mail or stream server; `None` if its words make no address.
pub(super) fn of(directive: &Directive) -> Option<Listen> {
    let udp = directive.has("udp") || directive.has("quic");
    let proto = if udp { Proto::Udp } else { Proto::Tcp };
    Some(Listen { at: at(directive.arg()?)?, proto, origin: directive.origin.clone() })
}

/// What an http server without `listen` uses: `*:80` (ngx_http_core_server() of nginx).
pub(super) fn default_of(server: &Directive) -> Listen {
    Listen { at: At::Any(PortRange { first: 80, last: 80 }), proto: Proto::Tcp, origin: server.origin.clone() }
}

fn at(text: &str) -> Option<At> {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/').then(|| At::Unix(path.to_owned()));
    }
    if let Some(port) = ports(text) {
        return Some(At::Any(port));
    }
    let (host, port) = host_and_port(text)?;
    let port = match port {
        Some(p) => ports(p)?,
        None => PortRange { first: 80, last: 80 },
    };
    Some(match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => At::Any(port),
        Ok(ip) => At::Address(ip, port),
        Err(_) if host == "*" => At::Any(port),
        Err(_) if host == "localhost" => At::Loopback(port),
        Err(_) if host.is_empty() => return None,
        Err(_) => At::Name(host.to_owned(), port),
    })
}

/// `host`, `host:port`, `[v6]:port`; `None` where a bracket is not closed.
pub(super) fn host_and_port(text: &str) -> Option<(&str, Option<&str>)> {
    Some(match text.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']')?;
            (host, tail.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    })
}

/// `80` or `8000-8010`.
pub(super) fn ports(text: &str) -> Option<PortRange> {
    let number = |t: &str| t.parse::<u16>().ok().filter(|_| t.bytes().all(|b| b.is_ascii_digit()));
    let (first, last) = match text.split_once('-') {
        Some((a, b)) => (number(a)?, number(b)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last && first > 0).then_some(PortRange { first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let p = |n| PortRange { first: n, last: n };
        for (text, want) in [
            ("80", Some(At::Any(p(80)))),
            ("*:8080", Some(At::Any(p(8080)))),
            ("[::]:80", Some(At::Any(p(80)))),
            ("0.0.0.0", Some(At::Any(p(80)))),
            ("127.0.0.1:81", Some(At::Address("127.0.0.1".parse().unwrap(), p(81)))),
            ("[::1]", Some(At::Address("::1".parse().unwrap(), p(80)))),
            ("localhost:9-11", Some(At::Loopback(PortRange { first: 9, last: 11 }))),
            ("unix:/run/x.sock", Some(At::Unix("/run/x.sock".into()))),
            ("www.example.com:80", Some(At::Name("www.example.com".into(), p(80)))),
            ("70000", Some(At::Name("70000".into(), p(80)))),
            ("a:b", None),
            ("[::1", None),
            ("unix:rel", None),
            ("1.2.3.4:9-8", None),
        ] {
            assert_eq!(at(text), want, "{text}");
        }
    }
}
