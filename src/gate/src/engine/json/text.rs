//! Strings between JSON and bytes. Decoded strings are WTF-8: UTF-8 that may hold lone surrogates, as JSON may.

use super::mask::is_plain;

/// Appends what stands between a string's quotes, unescaped. `inner` has passed [`super::scan`].
pub fn decode_string(inner: &[u8], out: &mut Vec<u8>) {
    let mut rest = inner;
    while let Some(slash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..slash]);
        let (escape, mut used) = (rest.get(slash + 1).copied().unwrap_or(b'\\'), 2);
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut point = hex4(rest, slash + 2);
                used = 6;
                if (0xd800..0xdc00).contains(&point) && rest.get(slash + 6..slash + 8) == Some(b"\\u") {
                    let low = hex4(rest, slash + 8);
                    if (0xdc00..0xe000).contains(&low) {
                        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
                        used = 12;
                    }
                }
                push_point(point, out);
            }
            other => out.push(other),
        }
        rest = rest.get(slash + used..).unwrap_or(&[]);
    }
    out.extend_from_slice(rest);
}

fn hex4(bytes: &[u8], at: usize) -> u32 {
    let digits = bytes.get(at..at + 4).unwrap_or(&[]);
    digits.iter().fold(0, |unit, b| unit * 16 + (*b as char).to_digit(16).unwrap_or(0))
}

/// Appends a code point, a lone surrogate in its generalised UTF-8 form.
pub fn push_point(point: u32, out: &mut Vec<u8>) {
    match char::from_u32(point) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            out.extend_from_slice(&[
                0xe0 | (point >> 12) as u8,
                0x80 | (point >> 6 & 63) as u8,
                0x80 | (point & 63) as u8,
            ]);
        }
    }
}

/// The code point at the start of WTF-8 bytes and its length; a stray byte stands for itself.
pub fn next_point(bytes: &[u8]) -> Option<(u32, usize)> {
    let tail = |i: usize| bytes.get(i).map_or(0, |b| u32::from(b & 63));
    Some(match u32::from(*bytes.first()?) {
        b @ 0..0xc0 => (b, 1),
        b @ 0xc0..0xe0 => ((b & 31) << 6 | tail(1), 2.min(bytes.len())),
        b @ 0xe0..0xf0 => ((b & 15) << 12 | tail(1) << 6 | tail(2), 3.min(bytes.len())),
        b => ((b & 7) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4.min(bytes.len())),
    })
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn push_unit(unit: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u");
    out.extend([12, 8, 4, 0].map(|shift| HEX[(unit >> shift & 15) as usize]));
}

fn push_short(byte: u8, out: &mut Vec<u8>) -> bool {
    let short: &[u8] = match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        b'\t' => b"\\t",
        8 => b"\\b",
        12 => b"\\f",
        _ => return false,
    };
    out.extend_from_slice(short);
    true
}

/// Appends a JSON string, quotes included, with everything but printable ASCII escaped.
pub fn write_ascii_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        let mut rest = bytes;
        while let Some((point, length)) = next_point(rest) {
            rest = &rest[length..];
            match point {
                0x20..0x7f if point != 0x22 && point != 0x5c => out.push(point as u8),
                0..0x80 if push_short(point as u8, out) => {}
                0x10000.. => {
                    push_unit(0xd800 + ((point - 0x10000) >> 10), out);
                    push_unit(0xdc00 + ((point - 0x10000) & 0x3ff), out);
                }
                _ => push_unit(point, out),
            }
        }
    }
    out.push(b'"');
}

/// Appends a JSON string, quotes included, as UTF-8; control characters are escaped. A lone surrogate, which strict readers
/// refuse in any form, becomes U+FFFD.
pub fn write_utf8_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    write_utf8_inner(bytes, out);
    out.push(b'"');
}

/// The same without the quotes.
pub fn write_utf8_inner(bytes: &[u8], out: &mut Vec<u8>) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        let mut rest = bytes;
        while let Some((point, length)) = next_point(rest) {
            match point {
                0x7f => push_unit(point, out),
                ..0x7f if push_short(point as u8, out) => {}
                0xd800..0xe000 => push_point(0xfffd, out),
                ..0x20 | 0x80..0xa0 | 0x2028 | 0x2029 => push_unit(point, out),
                _ => out.extend_from_slice(&rest[..length]),
            }
            rest = &rest[length..];
        }
    }
}
