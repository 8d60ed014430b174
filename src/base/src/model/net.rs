//! Addresses, ports and protocols of network rules.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A transport protocol of PDL; the number is IPPROTO_*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Proto {
    /// ICMP and ICMPv6.
    Icmp = 1,
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
    /// SCTP.
    Sctp = 132,
}

impl Proto {
    /// The PDL keyword.
    pub const fn name(self) -> &'static str {
        match self {
            Proto::Icmp => "icmp",
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
            Proto::Sctp => "sctp",
        }
    }
}

impl FromStr for Proto {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        [Proto::Icmp, Proto::Tcp, Proto::Udp, Proto::Sctp]
            .into_iter()
            .find(|p| p.name() == s)
            .ok_or_else(|| s.to_owned())
    }
}

/// An inclusive range of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port, not below `first`.
    pub last: u16,
}

impl PortRange {
    /// Every port.
    pub const ANY: PortRange = PortRange { first: 0, last: u16::MAX };
    /// Whether the port lies within.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A block of addresses (RFC 4632, RFC 4291). IPv4 is kept as `::ffff:a.b.c.d/96+n`, so that an IPv4-mapped
/// IPv6 address is the same address; host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    addr: [u8; 16],
    len: u8,
}

/// Text that is not an address block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseCidrError {
    /// Neither an IPv4 nor an IPv6 address.
    #[error("`{0}` is not an IP address or address block like 10.0.0.0/8")]
    Address(String),
    /// The prefix length is not a number or too large.
    #[error("`{0}` has a bad prefix length")]
    Length(String),
    /// Bits are set behind the prefix.
    #[error("`{0}` has bits set behind its prefix; did you mean `{1}`?")]
    HostBits(String, String),
}

/// The 16 bytes by which the kernel programs know an address.
pub fn mapped(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

impl Cidr {
    /// Every address of both families.
    pub const ANY: Cidr = Cidr { addr: [0; 16], len: 0 };
    /// Every IPv4 address.
    pub const ANY_V4: Cidr = Cidr { addr: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], len: 96 };
    /// 127.0.0.0/8.
    pub const LOOPBACK_V4: Cidr = Cidr { addr: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 0], len: 104 };
    /// ::1/128.
    pub const LOOPBACK_V6: Cidr = Cidr { addr: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], len: 128 };

    /// A block of `len` leading bits of the 128-bit form; bits behind are cleared.
    pub fn new(addr: [u8; 16], len: u8) -> Cidr {
        let len = len.min(128);
        let bits = u128::from_be_bytes(addr);
        let mask = if len == 0 { 0 } else { u128::MAX << (128 - u32::from(len)) };
        Cidr { addr: (bits & mask).to_be_bytes(), len }
    }
    /// The first address, in 128-bit form.
    pub const fn addr(&self) -> [u8; 16] {
        self.addr
    }
    /// Leading bits, of 128.
    pub const fn prefix_len(&self) -> u8 {
        self.len
    }
    /// Whether the address (in 128-bit form) lies within.
    pub fn contains(&self, addr: [u8; 16]) -> bool {
        Cidr::new(addr, self.len).addr == self.addr
    }
    /// Whether one block lies within the other.
    pub fn overlaps(&self, other: &Cidr) -> bool {
        let len = self.len.min(other.len);
        Cidr::new(self.addr, len).addr == Cidr::new(other.addr, len).addr
    }
}

impl FromStr for Cidr {
    type Err = ParseCidrError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let shown = || s.chars().take(80).collect::<String>();
        let (addr, len) = match s.split_once('/') {
            Some((a, l)) => (a, Some(l)),
            None => (s, None),
        };
        let ip: IpAddr = addr.parse().map_err(|_| ParseCidrError::Address(shown()))?;
        let (max, base) = if ip.is_ipv4() { (32u8, 96) } else { (128, 0) };
        let len = match len {
            None => max,
            Some(l) if !l.is_empty() && l.len() <= 3 && l.bytes().all(|b| b.is_ascii_digit()) => {
                l.parse::<u8>().ok().filter(|l| *l <= max).ok_or_else(|| ParseCidrError::Length(shown()))?
            }
            Some(_) => return Err(ParseCidrError::Length(shown())),
        };
        let bytes = mapped(ip);
        let cidr = Cidr::new(bytes, base + len);
        if cidr.addr != bytes {
            return Err(ParseCidrError::HostBits(shown(), cidr.to_string()));
        }
        Ok(cidr)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v6 = Ipv6Addr::from(self.addr);
        match v6.to_ipv4_mapped() {
            Some(v4) if self.len >= 96 => write!(f, "{v4}/{}", self.len - 96),
            _ => write!(f, "{v6}/{}", self.len),
        }
    }
}
impl TryFrom<String> for Cidr {
    type Error = ParseCidrError;
    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}
impl From<Cidr> for String {
    fn from(c: Cidr) -> String {
        c.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["10.4.0.0/16", "fd00:4::/64", "0.0.0.0/0", "::/0", "127.0.0.1/32", "::1/128"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
        assert_eq!("10.0.0.1".parse::<Cidr>().unwrap().to_string(), "10.0.0.1/32");
        assert_eq!("::ffff:10.0.0.1".parse::<Cidr>().unwrap().to_string(), "10.0.0.1/32");
    }

    #[test]
    fn bad_text_says_why() {
        assert!(matches!("10.0.0.1/8".parse::<Cidr>(), Err(ParseCidrError::HostBits(_, fix)) if fix == "10.0.0.0/8"));
        assert!(matches!("10.0.0.0/33".parse::<Cidr>(), Err(ParseCidrError::Length(_))));
        assert!(matches!("10.0.0.0/+8".parse::<Cidr>(), Err(ParseCidrError::Length(_))));
        assert!(matches!("10.0.0".parse::<Cidr>(), Err(ParseCidrError::Address(_))));
    }
}
