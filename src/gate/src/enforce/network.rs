//! Cuts a control group's network by netfilter: two chains that drop what its sockets send and receive.
//!
//! nf_tables is spoken to over netlink (include/uapi/linux/netfilter/nf_tables.h); `socket cgroupv2` is there since
//! Linux 5.13, in sending since 5.18. A chain of its own for each group, so that undoing one touches no other.

use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

const TABLE: &str = "kiln-gate";

// include/uapi/linux/netlink.h
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const NLMSG_ERROR: u16 = 2;
const NESTED: u16 = 0x8000;

// include/uapi/linux/netfilter/nfnetlink.h
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NFTABLES: u16 = 10;

// The messages of nf_tables.
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;

/// IPv4 and IPv6 (`NFPROTO_INET`).
const INET: u8 = 1;

/// Hook, and the end of the chain's name.
const CHAINS: [(u32, &str); 2] = [(1, "in"), (3, "out")];

/// Before everything that could accept (`NF_IP_PRI_RAW`).
const PRIORITY: i32 = -300;

/// The network cannot be cut or given back.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel's answer.
    #[error("netfilter refused to {what}: {errno}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its error.
        errno: Errno,
    },
    /// It answered what is not an answer.
    #[error("netfilter's answer to {0} cannot be understood")]
    Answer(&'static str),
}

/// Drops all traffic of the group's sockets. `id` is the group's number, the inode of its folder; `level` says how deep
/// it is below the root.
pub(super) fn cut(id: u64, level: u32) -> Result<(), NetworkError> {
    let mut batch = Batch::new();
    batch.message(NEW_TABLE, CREATE, |out| text(out, 1, TABLE));
    for (hook, end) in CHAINS {
        let chain = chain(id, end);
        batch.message(NEW_CHAIN, CREATE, |out| {
            text(out, 1, TABLE);
            text(out, 3, &chain);
            nested(out, 4, |out| {
                number(out, 1, hook);
                number(out, 2, PRIORITY as u32);
            });
            number(out, 5, 1);
            text(out, 7, "filter");
        });
        // If the chain was there already, it has a rule, and needs no second one.
        batch.message(DELETE_RULE, 0, |out| {
            text(out, 1, TABLE);
            text(out, 2, &chain);
        });
        batch.message(NEW_RULE, CREATE | APPEND, |out| {
            text(out, 1, TABLE);
            text(out, 2, &chain);
            nested(out, 4, |out| drop_from(out, id, level));
        });
    }
    batch.send("cut the network")
}

/// Gives the group its network back. A chain that is gone, as after a reboot, needs no undoing.
pub(super) fn restore(id: u64) -> Result<(), NetworkError> {
    for (_, end) in CHAINS {
        let chain = chain(id, end);
        let mut batch = Batch::new();
        batch.message(DELETE_RULE, 0, |out| {
            text(out, 1, TABLE);
            text(out, 2, &chain);
        });
        batch.message(DELETE_CHAIN, 0, |out| {
            text(out, 1, TABLE);
            text(out, 3, &chain);
        });
        match batch.send("give the network back") {
            Err(NetworkError::Refused { errno: Errno::NOENT, .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn chain(id: u64, end: &str) -> String {
    format!("{id}-{end}")
}

/// The expressions `socket cgroupv2 level LEVEL == ID drop`.
fn drop_from(out: &mut Vec<u8>, id: u64, level: u32) {
    expression(out, "socket", |out| {
        number(out, 1, 3);
        number(out, 2, 1);
        number(out, 3, level);
    });
    expression(out, "cmp", |out| {
        number(out, 1, 1);
        number(out, 2, 0);
        nested(out, 3, |out| attribute(out, 1, |out| out.extend_from_slice(&id.to_ne_bytes())));
    });
    expression(out, "immediate", |out| {
        number(out, 1, 0);
        nested(out, 2, |out| nested(out, 2, |out| number(out, 1, 0)));
    });
}

fn expression(out: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    nested(out, 1, |out| {
        text(out, 1, name);
        nested(out, 2, data);
    });
}

fn text(out: &mut Vec<u8>, kind: u16, text: &str) {
    attribute(out, kind, |out| {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    });
}

fn number(out: &mut Vec<u8>, kind: u16, number: u32) {
    attribute(out, kind, |out| out.extend_from_slice(&number.to_be_bytes()));
}

fn nested(out: &mut Vec<u8>, kind: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    attribute(out, kind | NESTED, inner);
}

/// Length, kind and value, the next attribute aligned to four bytes.
fn attribute(out: &mut Vec<u8>, kind: u16, value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&kind.to_ne_bytes());
    value(out);
    let length = (out.len() - start) as u16;
    out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Messages that the kernel carries out all or none.
struct Batch {
    bytes: Vec<u8>,
    last: u32,
}

impl Batch {
    fn new() -> Batch {
        let mut batch = Batch { bytes: Vec::new(), last: 0 };
        batch.raw(BATCH_BEGIN, REQUEST, 0, NFTABLES, |_| ());
        batch
    }

    fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Vec<u8>)) {
        self.raw(NFTABLES << 8 | kind, REQUEST | ACK | flags, INET, 0, body);
    }

    fn raw(&mut self, kind: u16, flags: u16, family: u8, resource: u16, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.last += 1;
        let out = &mut self.bytes;
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(&flags.to_ne_bytes());
        out.extend_from_slice(&self.last.to_ne_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[family, 0]);
        out.extend_from_slice(&resource.to_be_bytes());
        body(out);
        let length = (out.len() - start) as u32;
        out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    fn send(mut self, what: &'static str) -> Result<(), NetworkError> {
        let wanted = self.last;
        self.raw(BATCH_END, REQUEST, 0, NFTABLES, |_| ());
        let refused = |errno| NetworkError::Refused { what, errno };
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(NETFILTER))
            .map_err(refused)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(5))).map_err(refused)?;
        sendto(&socket, &self.bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map_err(refused)?;
        let mut buffer = [0; 16 << 10];
        loop {
            let (length, _) = recv(&socket, &mut buffer, RecvFlags::empty()).map_err(refused)?;
            let mut rest = buffer.get(..length).unwrap_or(&[]);
            while !rest.is_empty() {
                let answer = Answer::read(rest).ok_or(NetworkError::Answer(what))?;
                if answer.error != 0 {
                    return Err(refused(Errno::from_raw_os_error(-answer.error)));
                }
                if answer.number == wanted {
                    return Ok(());
                }
                rest = rest.get(answer.length..).unwrap_or(&[]);
            }
        }
    }
}

struct Answer {
    length: usize,
    number: u32,
    error: i32,
}

impl Answer {
    fn read(bytes: &[u8]) -> Option<Answer> {
        let word = |at: usize| bytes.get(at..)?.first_chunk().copied();
        let length = u32::from_ne_bytes(word(0)?) as usize;
        let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
        let error = if kind == NLMSG_ERROR { i32::from_ne_bytes(word(16)?) } else { 0 };
        // A length of nothing would never end.
        (length >= 16).then(|| Answer {
            length: length.next_multiple_of(4),
            number: u32::from_ne_bytes(word(8).unwrap_or_default()),
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_aligned_and_know_their_length() {
        let mut out = Vec::new();
        nested(&mut out, 4, |out| {
            text(out, 1, "ab");
            number(out, 2, 3);
        });
        let length = |bytes: &[u8]| u16::from_ne_bytes([bytes[0], bytes[1]]);
        assert_eq!(out.len() % 4, 0);
        assert_eq!(length(&out), out.len() as u16);
        assert_eq!(length(&out[4..]), 7, "the text with its end, without the padding");
        assert_eq!(&out[8..12], b"ab\0\0");
        assert_eq!(&out[16..20], 3u32.to_be_bytes());
    }

    #[test]
    fn answers_are_read_and_what_is_none_is_not() {
        let mut bytes = vec![20, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(&(-13i32).to_ne_bytes());
        let answer = Answer::read(&bytes).expect("an answer");
        assert_eq!((answer.length, answer.number, answer.error), (20, 7, -13));
        assert!(Answer::read(&bytes[..10]).is_none());
        assert!(Answer::read(&[0; 20]).is_none());
    }
}
