//! A request in words, from the text by which an automaton was walked.

use std::net::Ipv6Addr;

use crate::abi::layout::NET_KEY;
use crate::model::{KernelOp, Verb, capability_name};

/// Longest text in words, in bytes.
const MOST: usize = 256;

/// A verb by its bit.
fn verb(bit: usize) -> &'static str {
    u8::try_from(bit).ok().and_then(Verb::from_bit).map_or("?", Verb::name)
}

/// A path or unix socket.
pub(super) fn path(bit: usize, text: &[u8]) -> String {
    let kind = if Verb::ALL.iter().any(|v| *v as usize == bit && v.is_network()) { "unix " } else { "" };
    format!("{} {kind}{}", verb(bit), quoted(text))
}

/// A text as people read it, no more of it than they do.
pub(super) fn quoted(text: &[u8]) -> String {
    match text.get(..MOST) {
        Some(begin) if text.len() > MOST => format!("\"{}…\"", begin.escape_ascii()),
        _ => format!("\"{}\"", text.escape_ascii()),
    }
}

/// A path or address that is not known.
pub(super) fn unknown(bit: usize, what: &str) -> String {
    format!("{} {what} that cannot be resolved", verb(bit))
}

/// An IP socket.
pub(super) fn net(bit: usize, key: &[u8]) -> String {
    let Ok(key) = <&[u8; NET_KEY]>::try_from(key) else { return verb(bit).to_owned() };
    let protocol = match key[0] {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        132 => "sctp".to_owned(),
        n => format!("protocol {n}"),
    };
    let mut address = [0; 16];
    address.copy_from_slice(&key[1..17]);
    let address = Ipv6Addr::from(address).to_canonical();
    format!("{} {protocol} {address} port {}", verb(bit), u16::from_be_bytes([key[17], key[18]]))
}

/// A capability or kernel operation.
pub(super) fn listed(kernel: bool, bit: u32) -> String {
    match KernelOp::ALL.get(bit as usize).filter(|_| kernel) {
        Some(op) => format!("kernel {}", op.name()),
        None if kernel => format!("kernel operation {bit}"),
        None => {
            let known = u8::try_from(bit).ok().and_then(capability_name);
            known.map_or_else(|| format!("capability {bit}"), |name| format!("capability {name}"))
        }
    }
}
