//! Address blocks and port ranges as strings of byte sets, in the form of the kernel programs' network key:
//! protocol, 16 bytes of address, port in network order.

use kiln_base::model::{Cidr, PortRange};

use super::bytes::ByteSet;

/// The byte sets that together match `protocol`, the block and the port range: at most three strings.
pub fn strings(protocol: u8, block: &Cidr, ports: PortRange) -> Vec<Vec<ByteSet>> {
    let mut head = vec![ByteSet::byte(protocol)];
    let len = usize::from(block.prefix_len());
    for (n, byte) in block.addr().into_iter().enumerate() {
        head.push(match len.saturating_sub(n * 8) {
            0 => ByteSet::ANY,
            bits @ 1..8 => ByteSet::range(byte, byte | (0xff >> bits)),
            _ => ByteSet::byte(byte),
        });
    }
    let with_port = |(high, low): (ByteSet, ByteSet)| head.iter().copied().chain([high, low]).collect();
    port_pairs(ports).into_iter().map(with_port).collect()
}

/// The high and low byte of the ports of a range: its ragged ends, and the whole blocks of 256 between.
fn port_pairs(ports: PortRange) -> Vec<(ByteSet, ByteSet)> {
    let [first_high, first_low] = ports.first.to_be_bytes();
    let [last_high, last_low] = ports.last.to_be_bytes();
    if ports.last < ports.first {
        return Vec::new();
    }
    if first_high == last_high {
        return vec![(ByteSet::byte(first_high), ByteSet::range(first_low, last_low))];
    }
    let mut pairs = Vec::new();
    let (mut low, mut high) = (u16::from(first_high), u16::from(last_high) + 1);
    if first_low > 0 {
        pairs.push((ByteSet::byte(first_high), ByteSet::range(first_low, u8::MAX)));
        low += 1;
    }
    if last_low < u8::MAX {
        pairs.push((ByteSet::byte(last_high), ByteSet::range(0, last_low)));
        high -= 1;
    }
    if low < high {
        pairs.push((ByteSet::range(low as u8, (high - 1) as u8), ByteSet::ANY));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(strings: &[Vec<ByteSet>], key: &[u8]) -> bool {
        strings.iter().any(|s| s.len() == key.len() && s.iter().zip(key).all(|(set, b)| set.contains(*b)))
    }

    proptest! {
        #[test]
        fn strings_are_the_region(
            addr in any::<[u8; 16]>(), len in 0u8..=128, a in any::<u16>(), b in any::<u16>(),
            other in any::<[u8; 16]>(), flip in 0u8..128, port in any::<u16>(), near in 0u8..6,
        ) {
            let block = Cidr::new(addr, len);
            let ports = PortRange { first: a.min(b), last: a.max(b) };
            let strings = strings(6, &block, ports);
            prop_assert!(strings.len() <= 3);
            let flipped = (u128::from_be_bytes(addr) ^ 1 << (127 - flip)).to_be_bytes();
            let ends = [a, b, a.wrapping_add(1), b.wrapping_sub(1), a.wrapping_sub(1), port];
            let port = ends[usize::from(near)];
            for address in [addr, flipped, other] {
                let mut key = vec![6];
                key.extend(address);
                key.extend(port.to_be_bytes());
                prop_assert_eq!(matches(&strings, &key), block.contains(address) && ports.contains(port));
                key[0] = 17;
                prop_assert!(!matches(&strings, &key));
            }
        }
    }
}
