//! `str()` and `repr()` of what a JSON line can hold.

use super::number::{write_float, write_int_literal};
use super::unprintable::UNPRINTABLE;
use crate::engine::json::{Value, is_plain, next_point};

fn is_printable(point: u32) -> bool {
    let after = UNPRINTABLE.partition_point(|(start, _)| *start <= point);
    after == 0 || UNPRINTABLE[after - 1].1 < point
}

/// `repr` of a string.
pub fn write_repr_text(text: &[u8], out: &mut Vec<u8>) {
    let single = memchr::memchr(b'\'', text).is_some();
    let quote = if single && memchr::memchr(b'"', text).is_none() { b'"' } else { b'\'' };
    out.push(quote);
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        let mut rest = text;
        while let Some((point, length)) = next_point(rest) {
            match point {
                0x5c => out.extend_from_slice(b"\\\\"),
                0x0a => out.extend_from_slice(b"\\n"),
                0x0d => out.extend_from_slice(b"\\r"),
                0x09 => out.extend_from_slice(b"\\t"),
                p if p == u32::from(quote) => out.extend_from_slice(&[b'\\', quote]),
                p if is_printable(p) => out.extend_from_slice(&rest[..length]),
                p @ ..0x100 => out.extend_from_slice(format!("\\x{p:02x}").as_bytes()),
                p @ 0x100..0x10000 => out.extend_from_slice(format!("\\u{p:04x}").as_bytes()),
                p => out.extend_from_slice(format!("\\U{p:08x}").as_bytes()),
            }
            rest = &rest[length..];
        }
    }
    out.push(quote);
}

/// `repr(value)`.
pub fn write_repr(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"None"),
        Value::Bool(true) => out.extend_from_slice(b"True"),
        Value::Bool(false) => out.extend_from_slice(b"False"),
        Value::Int(literal) => write_int_literal(literal.as_bytes(), out),
        Value::Float(number) => write_float(*number, ["nan", "inf", "-inf"], out),
        Value::Text(text) => write_repr_text(text, out),
        Value::List(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.extend_from_slice(b", ");
                }
                write_repr(item, out);
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            out.push(b'{');
            for (i, (key, item)) in entries.iter().enumerate() {
                if i > 0 {
                    out.extend_from_slice(b", ");
                }
                write_repr_text(key, out);
                out.extend_from_slice(b": ");
                write_repr(item, out);
            }
            out.push(b'}');
        }
    }
}

/// `str(value)`.
pub fn write_str(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => out.extend_from_slice(text),
        other => write_repr(other, out),
    }
}
