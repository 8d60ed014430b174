//! Where the ends of a connection are.

use std::net::IpAddr;

/// How far a connection reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Not out of this machine, or nobody can tell.
    None,
    /// To an address of a private network.
    Private,
    /// To the internet.
    Public,
}

/// The farthest end of a connection: `a:p->b:p`, or one address with or without a port.
pub(super) fn reach(connection: &[u8]) -> Reach {
    let Ok(text) = std::str::from_utf8(connection) else { return Reach::None };
    let ends = text.split("->").filter_map(address);
    let reaches = ends.map(|address| match address {
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_unspecified() => Reach::None,
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unspecified() => Reach::None,
        IpAddr::V4(v4)
            if v4.is_private() || v4.is_link_local() || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64 =>
        {
            Reach::Private
        }
        IpAddr::V6(v6) if v6.segments()[0] & 0xfe00 == 0xfc00 || v6.segments()[0] & 0xffc0 == 0xfe80 => Reach::Private,
        _ => Reach::Public,
    });
    // One's own address says nothing where the far end is this machine.
    reaches
        .reduce(|a, b| if a == Reach::None || b == Reach::None { Reach::None } else { a.max_of(b) })
        .unwrap_or(Reach::None)
}

impl Reach {
    fn max_of(self, other: Reach) -> Reach {
        if self == Reach::Public || other == Reach::Public { Reach::Public } else { self }
    }
}

fn address(end: &str) -> Option<IpAddr> {
    let end = end.trim();
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let found = bare(end).or_else(|| bare(end.rsplit_once(':')?.0))?;
    Some(match found {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(found, IpAddr::V4),
        IpAddr::V4(_) => found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_internet_from_the_neighbourhood() {
        for (connection, wanted) in [
            ("172.17.0.2:50190->203.0.113.146:1234", Reach::Public),
            ("10.0.0.2:1->10.0.0.3:4444", Reach::Private),
            ("127.0.0.1:1->127.0.0.1:80", Reach::None),
            ("[fd00::1]:1->[2606:4700::1]:443", Reach::Public),
            ("::ffff:10.0.0.2:1->::ffff:198.51.100.7:9001", Reach::Public),
            ("198.51.100.7:443", Reach::Public),
            ("2606:4700::1", Reach::Public),
            ("100.64.0.9:80", Reach::Private),
            ("/run/x.sock", Reach::None),
            ("", Reach::None),
            ("->", Reach::None),
        ] {
            assert_eq!(reach(connection.as_bytes()), wanted, "{connection}");
        }
    }
}
